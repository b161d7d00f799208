"""The allocator: memory of large documents goes back to the system."""

import subprocess
import sys

# Left alone, the allocator keeps 17 MB of this.
_PROGRAM = """
import threading
from pathlib import Path
from service.runtime import allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def work():
    small = []
    for _ in range(8):
        large = bytearray(b"x") * 8_000_000
        small.append(bytes(100_000))
        del large
    kept.append(small[-1])

allocator.give_back_large_blocks()
kept, before = [], resident()
for _ in range(4):
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print((resident() - before) // 1_000_000)
"""


def test_large_blocks_go_back_to_the_system() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 10
