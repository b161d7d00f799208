"""Put an `annals` on a PATH that runs in the warm program: each command saves a second of imports."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from tests.support import warm_program

# Passes its arguments, environment and files on, and ends with the program's exit code.
_PROGRAM = """#!{python} -ISE
import json, os, socket, sys
end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
end.connect({address!r})
message = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()])
socket.send_fds(end, [message.encode()], [0, 1, 2])
sys.exit(int(end.recv(16)) & 255)
"""


@contextmanager
def warm_path(folder: Path) -> Iterator[Path]:
    """Make a folder to put first on a PATH; it works until the block ends."""
    address = str(folder / "annals.socket")
    program = folder / "annals"
    program.write_text(_PROGRAM.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(address)
        listening.listen()
        serving = Thread(target=_serve, args=(listening,))
        serving.start()
        try:
            yield folder
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            end, _ = listening.accept()
        except OSError:
            # The block has ended.
            return
        with end:
            message, received, _, _ = socket.recv_fds(end, warm_program.MESSAGE_BYTES, 3)
            arguments, environment, folder = json.loads(message)
            source, output, errors = received
            started = warm_program.start(arguments, environment, (source, output, errors), Path(folder))
            for file in received:
                socket.close(file)
            end.send(str(started.wait()).encode())
