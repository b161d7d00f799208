"""Inserts at a steady pace until its input is closed, by a process of its own; it prints how long each took.

Each is one row of the server log in one transaction, as the service's role, and is due at its time whether
or not the one before is done: what waited in between counts.
"""

import json
import os
import sys
import time

from sqlalchemy import insert

from service.clock import system_clock
from service.ids import mint
from sql.database import PLATFORM, Database
from sql.models import TABLES


def main(url: str, a_second: float) -> None:
    """Insert until nobody holds the other end of the input."""
    os.set_blocking(0, False)
    database = Database(url, pool_size=1)
    taken = []
    due = time.perf_counter()
    print("ready", flush=True)
    while _goes_on():
        due += 1 / a_second
        time.sleep(max(0.0, due - time.perf_counter()))
        _insert(database)
        taken.append((time.perf_counter() - due) * 1000)
    database.close()
    json.dump(sorted(taken), sys.stdout)


def _goes_on() -> bool:
    try:
        return os.read(0, 1) != b""
    except BlockingIOError:
        return True


def _insert(database: Database) -> None:
    with database.transaction(PLATFORM) as tx:
        tx.execute(
            insert(TABLES["server_logs"]).values(
                log_id=mint(), created_at=system_clock(), request_id="a row of the benchmark"
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
