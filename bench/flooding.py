"""Send one stream of events again and again by several clients, until standard input is closed.

It runs as a process of its own. The input has the key in a line, then the length of the body and the body.
Prints `ready`, and at the end the number of streams that were stored.
"""

import sys
import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit


def main(url: str, path: str, clients: int) -> None:
    """Send until the other end of the input is closed."""
    key = sys.stdin.buffer.readline().decode().strip()
    body = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8)))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    ended = threading.Event()
    stored: list[int] = []

    def send() -> None:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=120)
        while not ended.is_set():
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            response.read()
            stored.append(response.status == 201)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.buffer.read()
    ended.set()
    for thread in threads:
        thread.join()
    print(sum(stored))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
