"""Admission: a worker works on few requests of each address and tenant at once, and lets the rest wait.

A request that waits is not refused, and nothing more of it is read. It takes its places in this order, and
never waits for one while it holds a later one, so that no two requests can wait for each other:

1. one of its address, from its head until its key is known, or until a moment after its answer: an attacker
   without a key holds nothing else, but for a form, which comes before its sender is known: while it is on
   its way, its request holds a place for that instead;
2. bytes of its tenant, if its body is large, once the first 64 KiB of it are there; for a stream, which goes
   to a file, a place instead;
3. one of its tenant, when its body is there, until its answer begins; for a long stream, one of the few for
   these.

An export gives its places back, takes one of the few for exports, and then a thread for each of its pages.
Git has places of its own for transfers (`gitstore.serve`), which may take an hour.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache, partial
from typing import ParamSpec, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from service.documents.workers import DocumentWorkers
from service.domain.callers import Caller
from service.domain.errors import AnnalsError, Busy, Unavailable
from service.domain.ids import SubscriptionId
from service.http.description.declarations import operation_of
from service.http.requests import address_of, is_of_git, network_of
from service.runtime.fair_places import FairPlaces
from service.runtime.metrics import ADMISSION_HELD, ADMISSION_WAIT, ADMISSION_WAITING

# Beside others, an address or tenant has so many requests under way, and alone eight times as many. With
# more, those of one delay those of another; a batch of the committer takes 64 at most.
EACH = 8
ALONE = 64
# An answer to an unknown caller keeps its place for so long. Most such answers are made in one turn of the
# event loop: all connections of an address would get one in each turn, and a call of another needs a dozen
# turns. Beside others, an address gets 200 such answers a second.
UNKNOWN_SECONDS = 0.04
# For a second more for so many bytes of the answer: to send the description costs as much as to make it.
# Beside others, an address gets 10 MB of such answers a second.
UNKNOWN_BYTES_A_SECOND = 1_250_000
# Beside others, a tenant has so many threads; alone it has as many as the settings say.
THREADS_EACH = 2
# Threads for what is quick and belongs to no tenant, such as the operator's look at a subscription.
SPARE_THREADS = 2
# A tenant's bodies that are read or worked on, beside others and alone, and those of all. The largest body is
# 8 MiB, and takes some ten times that in memory once it is parsed. Two of them keep the committer busy, which
# writes one at a time beside others. Who sends slowly holds bytes for minutes: only six tenants that do so
# leave none for another.
BYTES_EACH = 16 * 1024 * 1024
BYTES_ALONE = 48 * 1024 * 1024
BYTES = 128 * 1024 * 1024

# Streams of events whose work takes up to minutes: those of all, of a tenant beside others, and of one alone.
# Streams of one tenant often wait for each other, with a connection each: the places of two others stay free.
STREAMS, STREAMS_EACH, STREAMS_ALONE = 4, 1, 2
# The longest rest after a stream that has stored nothing: its sender may have mended it.
MAX_STREAM_REST_SECONDS = 60.0
# Bodies of streams on their way to a file, each of which may take long to arrive.
UPLOADS, UPLOADS_EACH = 64, 8

# Exports under way: those of all, of a tenant beside others, and of one alone. Each works for one page at a
# time, in a thread of its tenant; its reader may take its time.
EXPORTS, EXPORTS_EACH, EXPORTS_ALONE = 16, 2, 4
# An export that can't begin within this time is refused.
EXPORT_QUEUE_SECONDS = 10.0

# Forms on their way, each of which has at most 320 KiB and may take 30 seconds to begin.
FORMS, FORMS_EACH = 256, 16

# Bodies of this size keep a processor busy while they are parsed, so that two at once are hardly faster.
LARGE_BYTES = 1024 * 1024

# A parse takes longer than this only where the machine is busy with something else.
MAX_REST_SECONDS = 1.0

# Tells that the process is alive, also while all places of an address are taken, and has places of its own.
_LIVENESS = "/livez"

# Key of what belongs to no subscription: calls of the operator.
_PLATFORM = "platform"
_Key = SubscriptionId | str

P = ParamSpec("P")
Result = TypeVar("Result")


class _MeasuredPlaces(FairPlaces):
    """Places of this name in `/metrics`, which also shows the waits for them."""

    def __init__(self, name: str, total: int, *, each: int, alone: int | None = None) -> None:
        super().__init__(total, each=each, alone=alone)
        self._name = name

    async def take(self, key: Hashable, size: int = 1) -> None:
        """Take places; the time is measured of those that have to wait."""
        if self.take_at_once(key, size):
            return
        began = time.perf_counter()
        try:
            await super().take(key, size)
        finally:
            ADMISSION_WAIT.labels(self._name).observe(time.perf_counter() - began)

    def sample(self) -> None:
        """Set the gauges; any thread may call this."""
        ADMISSION_HELD.labels(self._name).set(self.held)
        ADMISSION_WAITING.labels(self._name).set(self.waiting)


class Admission:
    """Places of one worker, for one event loop; `threads` is the number that one tenant alone may have."""

    def __init__(self, *, threads: int) -> None:
        self.all_threads = threads + THREADS_EACH + SPARE_THREADS
        self.addresses = _MeasuredPlaces("address", ALONE + EACH, each=EACH)
        self.probes = _MeasuredPlaces("probe", ALONE + EACH, each=EACH, alone=EACH)
        self.requests = _MeasuredPlaces("request", ALONE + EACH, each=EACH)
        self.threads = _MeasuredPlaces("thread", threads + THREADS_EACH, each=THREADS_EACH)
        self.bytes = _MeasuredPlaces("bytes", BYTES, each=BYTES_EACH, alone=BYTES_ALONE)
        self.parsing = _MeasuredPlaces("parsing", 1, each=1)
        self.uploads = _MeasuredPlaces("upload", UPLOADS, each=UPLOADS_EACH)
        self.forms = _MeasuredPlaces("form", FORMS, each=FORMS_EACH, alone=FORMS_EACH)
        self.exports = _MeasuredPlaces("export", EXPORTS, each=EXPORTS_EACH, alone=EXPORTS_ALONE)
        self.streams = _MeasuredPlaces("stream", STREAMS, each=STREAMS_EACH, alone=STREAMS_ALONE)
        # They are never waited for: the places are as many.
        self.stream_threads = CapacityLimiter(STREAMS)

    def sample(self) -> None:
        """Set the gauges; any thread may call this."""
        for places in (
            *(self.addresses, self.probes, self.requests, self.threads),
            *(self.bytes, self.parsing, self.uploads, self.forms, self.streams, self.exports),
        ):
            places.sample()


class Visit:
    """Places that one request holds."""

    __slots__ = ("_admission", "_held", "_is_known", "_key", "_places")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held: list[tuple[FairPlaces, _Key, int]] = []
        self._is_known = False
        self._key: _Key = _PLATFORM
        # The places that the work of the request needs.
        self._places: FairPlaces | None = None

    async def arrive(self, request: Request) -> None:
        """Take a place of the address."""
        is_probe = request.scope["path"] == _LIVENESS
        places = self._admission.probes if is_probe else self._admission.addresses
        await self._take(places, network_of(address_of(request)))

    async def admit(self, request: Request, caller: Caller) -> None:
        """Give the place of the address back, since the caller is known, and take one of its tenant.

        A request whose route reads a body takes that place when the body is there: see `begin_work`.
        """
        self._is_known = True
        self.leave()
        self._key = caller.subscription_id or _PLATFORM
        route = request.scope["route"]
        if is_of_git(request):
            # Git's own places are for transfers; what goes before them takes a thread for a moment.
            return
        in_thread = _runs_in_thread(route.endpoint)
        self._places = self._admission.threads if in_thread else self._admission.requests
        if operation_of(route).body is None:
            await self.begin_work()

    @asynccontextmanager
    async def awaiting_form(self, request: Request) -> AsyncIterator[None]:
        """Hold a place of forms instead of one of the address, which is taken again for what follows.

        So who sends a form slowly keeps no other address from being served.
        """
        self.leave()
        async with self._admission.forms.place(network_of(address_of(request))):
            yield
        await self.arrive(request)

    async def reserve(self, size: int) -> None:
        """Take bytes of the tenant for a body; nothing of it is read meanwhile."""
        await self._take(self._admission.bytes, self._key, size)

    async def begin_upload(self) -> None:
        """Take a place for a body that goes to a file."""
        await self._take(self._admission.uploads, self._key)

    async def begin_work(self, body_bytes: int = 0) -> None:
        """Take the place of the tenant; work on a large body in a thread takes all threads of its share."""
        places, self._places = self._places, None
        if places is not None:
            await self._take(
                places, self._key, _threads_for(body_bytes) if places is self._admission.threads else 1
            )

    async def stream(self, work: Callable[[], Result], *, has_stored: Callable[[Result], bool]) -> Result:
        """Do the work of a stream in a thread for it, in turns with other tenants.

        A stream that is refused, or has stored nothing, counts against no quota. Its place stays taken for as
        long again, and the request does not wait for that: who sends such streams without an end keeps a
        place busy for half of the time at the most.
        """
        places = self._admission.streams
        await places.take(self._key)
        began, rests = time.perf_counter(), False
        try:
            found = await to_thread.run_sync(work, limiter=self._admission.stream_threads)
            rests = not has_stored(found)
        except AnnalsError as error:
            rests = not isinstance(error, Unavailable)
            raise
        else:
            return found
        finally:
            if rests:
                _release_after_rest(places, self._key, began, MAX_STREAM_REST_SECONDS)
            else:
                places.release(self._key)

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        """Hold a place of exports instead of all others; raises Busy if none is free in time.

        Who reads an export slowly keeps nobody from anything but another export of the same tenant.
        """
        self.leave()
        places = self._admission.exports
        try:
            async with asyncio.timeout(EXPORT_QUEUE_SECONDS):
                await places.take(self._key)
        except TimeoutError:
            raise Busy("Too many exports are under way: try again when one of them has ended.") from None
        try:
            yield
        finally:
            places.release(self._key)

    def thread(self, body_bytes: int = 0) -> AbstractAsyncContextManager[None]:
        """Hold one of the tenant's threads for a part of the work, or its share for one on a large body."""
        return self._admission.threads.place(self._key, _threads_for(body_bytes))

    @asynccontextmanager
    async def parsing(self) -> AsyncIterator[None]:
        """Hold the place of the one large body that is parsed, in turns with other tenants.

        The place stays taken for as long again, and this request does not wait for that: the processors do
        not parse large bodies for half of the time. A tenant that is alone hurts nobody, and does not rest.
        """
        places = self._admission.parsing
        await places.take(self._key)
        began = time.perf_counter()
        try:
            yield
        finally:
            _release_after_rest(places, self._key, began, 0.0 if self.is_alone() else MAX_REST_SECONDS)

    def is_alone(self) -> bool:
        """True if no other tenant had a request just now."""
        of_tenants = (self._admission.requests, self._admission.threads, self._admission.parsing)
        return all(places.is_alone(self._key) for places in of_tenants)

    def leave(self, answer_bytes: int = 0) -> None:
        """Give all places back; a caller who is still unknown keeps that of the address for a moment."""
        held, self._held = self._held, []
        moment = UNKNOWN_SECONDS + answer_bytes / UNKNOWN_BYTES_A_SECOND
        for places, key, size in held:
            if self._is_known:
                places.release(key, size)
            else:
                asyncio.get_running_loop().call_later(moment, places.release, key, size)

    async def _take(self, places: FairPlaces, key: _Key, size: int = 1) -> None:
        await places.take(key, size)
        self._held.append((places, key, size))


def _release_after_rest(places: FairPlaces, key: _Key, began: float, most: float) -> None:
    """Keep a place for as long again as it was worked in, and no longer than `most` seconds."""
    rest = min(time.perf_counter() - began, most)
    asyncio.get_running_loop().call_later(rest, places.release, key)


def visit_of(request: Request) -> Visit:
    """Places of a request."""
    return cast("Visit", request.state.visit)


async def in_thread(
    request: Request, function: Callable[P, Result], *arguments: P.args, **more: P.kwargs
) -> Result:
    """Run a part of a request in one of its tenant's threads."""
    async with visit_of(request).thread():
        return await run_in_threadpool(function, *arguments, **more)


async def parsed(
    request: Request, size: int, parse: Callable[P, Result], *arguments: P.args, **more: P.kwargs
) -> Result:
    """Parse a body of so many bytes in a thread, or by a document worker; one large body at a time."""
    documents: DocumentWorkers = request.app.state.context.documents
    visit = visit_of(request)
    async with visit.thread() if size < LARGE_BYTES else visit.parsing():
        return await run_in_threadpool(partial(documents.run, size, parse, *arguments, **more))


def _threads_for(body_bytes: int) -> int:
    return THREADS_EACH if body_bytes >= LARGE_BYTES else 1


@cache
def _runs_in_thread(endpoint: Callable[..., object]) -> bool:
    return not inspect.iscoroutinefunction(endpoint)
