"""Insert rows at a steady pace until standard input is closed, and print the milliseconds of each.

It runs as a process of its own. Each insert is one row of the server log in one transaction, as the service's
role. An insert is due at its time even if the one before is not done, so the wait for that counts.
"""

import json
import os
import sys
import time

import psycopg

from service.domain.ids import mint
from service.runtime.clock import system_clock

_INSERT = "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (%s, %s, 'a row of the benchmark')"


def main(url: str, a_second: float) -> None:
    """Insert rows until the other end of the input is closed."""
    os.set_blocking(0, False)
    taken = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE annals_service")
        connection.execute("SELECT set_config('annals.scope', 'platform', false)")
        due = time.perf_counter()
        print("ready", flush=True)
        while _goes_on():
            due += 1 / a_second
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.execute(_INSERT, [mint(), system_clock()])
            taken.append((time.perf_counter() - due) * 1000)
    json.dump(sorted(taken), sys.stdout)


def _goes_on() -> bool:
    try:
        return os.read(0, 1) != b""
    except BlockingIOError:
        return True


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
