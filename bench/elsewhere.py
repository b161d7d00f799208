"""Run commands of clients that would be on other machines: side by side, with the lowest share of processor.

By default Linux divides its processors among sessions before it looks at priorities within them. Clients with
a low priority in a session of their own would still take as much as the whole service. So this program runs
in a session of its own, and lowers the share of that session.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_LOW = 10
_POLL_SECONDS = 0.02


def main() -> None:
    """Run the commands in a JSON array on stdin, and print the outcome of each as a line of JSON."""
    commands: list[list[str]] = json.load(sys.stdin)
    os.nice(_LOW)
    # Kernels without autogroups look at priorities alone.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_LOW))
    began = time.perf_counter()
    running = {
        number: subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for number, command in enumerate(commands)
    }
    while running:
        for number, process in list(running.items()):
            if process.poll() is not None:
                del running[number]
                _tell(number, process, time.perf_counter() - began)
        time.sleep(_POLL_SECONDS)


def _tell(number: int, process: "subprocess.Popen[str]", seconds: float) -> None:
    said: dict[str, Any] = {
        "number": number,
        "seconds": seconds,
        "returncode": process.returncode,
        "stderr": process.communicate()[1],
    }
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
