"""The program that starts git for one API worker: small, and in nobody's way while it waits for a start.

It is run as a file, so that it imports the standard library alone. Its standard input is a socket of packets
(`unix(7)`, SOCK_SEQPACKET): each is one command as JSON, `[arguments, environment]`, and brings four
descriptors, of the three streams and of a socket of packets on which it tells first the process's id, or the
error's negative number, and in the end the exit status. Whoever shuts that socket down ends the process;
whoever closes standard input, as one does who is killed, ends them all.
"""

import json
import os
import selectors
import signal
import socket
from contextlib import suppress

# A third of a share: who clones still gets on where much else is running.
NICENESS = 5
# More than the kernel takes in one packet.
_REQUEST_BYTES = 256 * 1024
_DESCRIPTORS = 4


class _StartedProcess:
    """A process that was started, the leader of a session of its own, until it is waited for."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.control = control
        self.end = os.pidfd_open(pid)
        self.status: int | None = None
        self._pid = pid

    def kill(self) -> None:
        """End it and what it started."""
        # Not waited for yet, its id is nobody else's.
        if self.status is None:
            os.killpg(self._pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for it, end what it left behind, and tell."""
        self.kill()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        _tell(self.control, self.status)
        os.close(self.end)
        self.control.close()


class _StartedProcesses:
    """All that run, and what is heard of them."""

    def __init__(self) -> None:
        self._events = selectors.DefaultSelector()
        self._running: set[_StartedProcess] = set()

    def serve(self, requests: socket.socket) -> None:
        """Start what is asked for until nobody can ask any more; then nothing runs."""
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
            # Nothing is started before: no process gets the streams of another.
            os.set_inheritable(descriptor, False)
        if len(descriptors) < _DESCRIPTORS:
            # More are open than may be: closing them is what tells.
            for descriptor in descriptors:
                os.close(descriptor)
            return
        control = socket.socket(fileno=descriptors.pop())
        try:
            child = _started(request, descriptors, control)
        except OSError as error:
            _tell(control, -(error.errno or 1))
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
            # Not there where it was asked to end.
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
        # What Python ignores and no other program expects to be ignored.
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    try:
        child = _StartedProcess(pid, control)
    except OSError:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    _give_way(pid)
    _tell(control, pid)
    return child


def _give_way(leader: int) -> None:
    """Lower the priority of the processes of a session, by the id of its leader, also against other sessions.

    Where Linux shares the processors among sessions first (sched(7), "The autogroup feature"), a process's
    own niceness counts within its session alone. Best effort.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, NICENESS)
    with suppress(OSError), open(f"/proc/{leader}/autogroup", "w") as autogroup:  # noqa: PTH123 - `pathlib` is large
        # Not there without autogroups, and refused to others than root more than ten times a second.
        autogroup.write(str(NICENESS))


def _tell(control: socket.socket, number: int) -> None:
    with suppress(OSError):
        # Nobody need listen any more.
        control.send(str(number).encode())


if __name__ == "__main__":
    with socket.socket(fileno=0) as standard_input:
        _StartedProcesses().serve(standard_input)
