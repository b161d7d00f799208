"""The program `annals`: imports the commands, and ends without a traceback if it is interrupted meanwhile."""

import signal
import sys


def run() -> None:
    """Run the command of the command line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli.main import app

    # The server sets its own handlers when it begins, and until then has nothing to end in order.
    if sys.argv[1:2] != ["serve"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app()
