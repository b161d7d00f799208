"""A document worker of `annals serve`: does one piece of work on large documents after the other.

It keeps nothing between two of them, so that its end hurts only the caller of the present one, and the next
caller is served by the process that replaces it.
"""

import os
import socket

import structlog

from gitstore.priority import give_way
from service.documents.workers import outcome_of
from service.processes.children import Setup
from service.runtime import garbage_collector
from service.runtime.heartbeat import BEAT_SECONDS
from service.runtime.lifeline import Lifeline
from service.runtime.pickles import message, receive

log = structlog.get_logger(__name__)

# Callers of large documents wait for the processors, not the callers of small ones beside them.
NICENESS = 5
# A caller that sends or takes nothing for so long does not hold up the others.
CALLER_SECONDS = 10


def run(setup: Setup) -> None:
    """Serve until the supervisor closes the pipe, which ends the process at once: its callers have ended."""
    Lifeline(grace_seconds=0)
    give_way(os.getpid(), NICENESS)
    garbage_collector.spare_what_stays()
    listener = setup.listener
    assert listener is not None  # noqa: S101 - the supervisor opened it
    listener.settimeout(BEAT_SECONDS)
    while True:
        setup.heartbeat.beat()
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            _serve(connection)


def _serve(connection: socket.socket) -> None:
    connection.settimeout(CALLER_SECONDS)
    try:
        with connection.makefile("rb") as requests:
            work = receive(requests)
        for part in message(outcome_of(work)):
            connection.sendall(part)
    except (OSError, EOFError) as error:
        log.warning("a caller did not wait for a document", error=repr(error))
