"""The program that starts git for one API worker: small, so that its waiting for a start blocks nobody.

It is run as a file, so that it imports the standard library alone. Its standard input is a socket of packets
(`unix(7)`, SOCK_SEQPACKET). Each packet is one command as JSON, `[arguments, environment]`, with four
descriptors: of the three streams, and of a socket of packets. On the latter it sends the process's id, or the
error's negative number, and at the end the exit status. Shutting that socket down ends the process; closing
standard input, as the death of the API worker does, ends them all.
"""

import json
import os
import selectors
import signal
import socket
from contextlib import suppress

# This gives git a third of the usual share of a processor: a clone still proceeds on a busy machine.
NICENESS = 5
# More than the kernel takes in one packet.
_REQUEST_BYTES = 256 * 1024
_DESCRIPTORS = 4


class _StartedProcess:
    """A process that was started and not yet waited for, the leader of a session of its own."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.control = control
        self.end = os.pidfd_open(pid)
        self.status: int | None = None
        self._pid = pid

    def kill(self) -> None:
        """End the process and all that it started."""
        # Until a process is waited for, no other process has its id.
        if self.status is None:
            os.killpg(self._pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the process, end all that it started, and send its status."""
        self.kill()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        _send(self.control, self.status)
        os.close(self.end)
        self.control.close()


class _StartedProcesses:
    """The running git processes, and the descriptors that report requests and ends."""

    def __init__(self) -> None:
        self._events = selectors.DefaultSelector()
        self._running: set[_StartedProcess] = set()

    def serve(self, requests: socket.socket) -> None:
        """Start processes until standard input is closed, then end them all."""
        self._events.register(requests, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in self._events.select():
                    child = key.data
                    if child is None:
                        request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, _DESCRIPTORS)
                        if not request:
                            return
                        self._take(request, descriptors)
                    elif key.fd == child.end:
                        self._ended(child)
                    elif child.status is None:
                        self._events.unregister(child.control)
                        child.kill()
        finally:
            for child in self._running:
                child.kill()
            for child in self._running:
                child.reap()

    def _take(self, request: bytes, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            # This comes before any start, so that no process inherits the streams of another.
            os.set_inheritable(descriptor, False)
        if len(descriptors) < _DESCRIPTORS:
            # At the limit on open files the kernel drops descriptors. Closing the rest reports it to the
            # caller.
            for descriptor in descriptors:
                os.close(descriptor)
            return
        control = socket.socket(fileno=descriptors.pop())
        try:
            child = _started(request, descriptors, control)
        except OSError as error:
            _send(control, -(error.errno or 1))
            control.close()
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._running.add(child)
        self._events.register(child.end, selectors.EVENT_READ, child)
        self._events.register(control, selectors.EVENT_READ, child)

    def _ended(self, child: _StartedProcess) -> None:
        self._events.unregister(child.end)
        with suppress(KeyError):
            # The socket is unregistered already if the process was asked to end.
            self._events.unregister(child.control)
        self._running.remove(child)
        child.reap()


def _started(request: bytes, streams: list[int], control: socket.socket) -> _StartedProcess:
    command, environment = json.loads(request)
    pid = os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)],
        setsid=True,
        # Python ignores these signals; other programs expect their default actions.
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    try:
        child = _StartedProcess(pid, control)
    except OSError:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    _give_way(pid)
    _send(control, pid)
    return child


def _give_way(leader: int) -> None:
    """Lower the priority of a session, given by the id of its leader, also relative to other sessions.

    Where Linux shares the processors among sessions first (sched(7), "The autogroup feature"), a process's
    own niceness counts within its session alone. Best effort.

    With SCHED_BATCH git never takes a processor from another process at the moment when it can go on, as it
    can a thousand times in a clone, whenever its reader has taken what it wrote. What git starts inherits it.
    """
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(leader, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, NICENESS)
    with suppress(OSError), open(f"/proc/{leader}/autogroup", "w") as autogroup:  # noqa: PTH123 - `pathlib` is large
        # A kernel without autogroups has no such file; only root may write more than ten times a second.
        autogroup.write(str(NICENESS))


def _send(control: socket.socket, number: int) -> None:
    with suppress(OSError):
        # The write fails if the other side has closed the socket.
        control.send(str(number).encode())


if __name__ == "__main__":
    with socket.socket(fileno=0) as standard_input:
        _StartedProcesses().serve(standard_input)
