"""Limits of a connection, each with its reason; tests give shorter times."""

import resource
from dataclasses import dataclass

# Nothing that Annals takes is longer: a cursor has some 200 bytes, a key 60. Proxies stop at 8 to 64 KiB.
MAX_HEAD_BYTES = 64 * 1024
# Browsers and proxies send some 30. Each look for a header passes over all that there are.
MAX_HEADERS = 256
# A head is one packet or a few: who has not sent it by then holds a place for nothing.
HEAD_SECONDS = 10.0
# A client may stand still for this long, on a radio link or a sleeping laptop, ...
PATIENCE_SECONDS = 30.0
# ... and every KiB of an answer gives it a second back.
BYTES_PER_SECOND = 1024
# A body has to come faster: while it comes, it takes bytes that others of its tenant wait for. A telephone on
# the edge of its network has twice this rate.
BODY_BYTES_PER_SECOND = 4 * 1024
# The rest of a body that was refused unread: clients that read the answer only after their last byte get it.
REST_SECONDS = 30.0
# Time, and bytes, for a client to read why its head was refused. To close while bytes arrive would reset the
# connection, and many clients then lose the answer.
FAREWELL_SECONDS = 2.0
FAREWELL_BYTES = 1024 * 1024
# How late any of these times may be noticed.
TICK_SECONDS = 1.0
# A connection whose place another got ends after this time: see `places`.
EVICTION_SECONDS = 5.0
# Each connection may hold a head, or a part of a body or an answer: these are some 300 MB at the worst.
MAX_CONNECTIONS = 4096
# Connections that wait in the kernel until a process takes them. Linux allows as many as `net.core.somaxconn`
# says, 4,096 by default; a client that finds no room for one more tries again after a second.
BACKLOG = 65_535
# Files that a process needs beside its connections: git (nine a clone), the database, packs, logs.
OTHER_FILES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the connections of one process."""

    head_bytes: int = MAX_HEAD_BYTES
    headers: int = MAX_HEADERS
    head_seconds: float = HEAD_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    bytes_per_second: float = BYTES_PER_SECOND
    body_bytes_per_second: float = BODY_BYTES_PER_SECOND
    rest_seconds: float = REST_SECONDS
    farewell_seconds: float = FAREWELL_SECONDS
    farewell_bytes: int = FAREWELL_BYTES
    tick_seconds: float = TICK_SECONDS
    eviction_seconds: float = EVICTION_SECONDS
    connections: int = MAX_CONNECTIONS


def limits_of_this_process() -> Limits:
    """Limits for as many connections as this process may have files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Half of them for connections that have lost their place and have not ended yet.
    room = (files - min(OTHER_FILES, files // 2)) // 2
    return Limits(
        connections=MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, room)
    )
