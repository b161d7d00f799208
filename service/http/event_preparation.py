"""Preparation of events: from the bytes of a body to blocks of rows, in any process."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import orjson

from service.documents import strict_json
from service.domain.errors import BodyTooLarge, Fault, Invalid, MalformedJson
from service.domain.idempotency import BodyDigests
from service.http.bodies import checked, digests_of, invalid_body
from service.http.schemas.log_fields import DatedEvent
from service.usecases.event_batches import MAX_EVENTS, Arrival
from service.usecases.recording import BEAT_SECONDS, EventKind, Preparation, Prepared

# Lines that are prepared at once: some 60 ms of work.
BLOCK_BYTES = 512 * 1024
MAX_LINE_BYTES = 1024 * 1024
# Blocks of a body that are prepared while one is stored. More would only wait: to store takes longer.
AHEAD = 1
# Nobody asks for the digests of a call without a key.
_UNKNOWN = BodyDigests(b"")
_BOM = b"\xef\xbb\xbf"

Found = TypeVar("Found")
Packed = TypeVar("Packed")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a stream; none if its one line is too long to be read."""

    first_line: int
    lines: bytes
    is_too_long: bool = False


class PreparedBody(NamedTuple):
    """One event or an array, prepared; the digests are true for a call that has an Idempotency-Key."""

    digests: BodyDigests
    is_single: bool
    prepared: Prepared[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReader:
    """Reads events of one kind, each of which is a `model`. Fit for pickle."""

    model: type[DatedEvent]
    kind: EventKind[Any, Any, Any]
    arrival: Arrival
    skips: bool

    def block(self, block: Block) -> Prepared[Any]:
        """Prepare the events of some lines; empty lines are none."""
        # Each line has an id of its own, so that blocks are prepared without waiting for those before them.
        arrival = replace(self.arrival, ids=self.arrival.ids.after(block.first_line - 1))
        events = Preparation(self.kind, arrival, skips=self.skips)
        if block.is_too_long:
            events.refuse(*_too_long(block.first_line))
        elif block.lines.isspace():
            # To look at each of them takes a hundred times as long.
            return events.done()
        for number, line in enumerate(block.lines.split(b"\n"), block.first_line):
            if events.is_refused:
                break
            if len(line) > MAX_LINE_BYTES:
                events.refuse(*_too_long(number))
            elif line and not line.isspace():
                self._take_line(events, line, number)
        return events.done()

    def _take_line(self, events: Preparation[Any, Any, Any], line: bytes, number: int) -> None:
        try:
            value = strict_json.parse(line)
        except (MalformedJson, Invalid) as error:
            faults = error.faults or (Fault(error.detail, pointer=""),)
            said = ((fault, fault.detail.removeprefix("line 1 ")) for fault in faults)
            events.refuse((replace(fault, detail=detail, line=number) for fault, detail in said), type(error))
            return
        event = checked(self.model, value)
        if isinstance(event, list):
            events.refuse(replace(fault, line=number) for fault in event)
        else:
            events.take(event.reported(), line=number, raw=line)

    def body(self, raw: bytes, *, has_key: bool) -> PreparedBody:
        """Prepare one event or an array; raises MalformedJson, and Invalid for too many events."""
        value = strict_json.parse(raw)
        is_single = not isinstance(value, list)
        items: Sequence[Any] = [value] if is_single else value
        if not 0 < len(items) <= MAX_EVENTS:
            raise invalid_body([Fault(f"an array holds 1 to {MAX_EVENTS:,} events", pointer="")])
        events = Preparation(self.kind, self.arrival, skips=self.skips)
        for index, item in enumerate(items):
            if events.is_refused:
                break
            path = () if is_single else (index,)
            event = checked(self.model, item, path)
            if isinstance(event, list):
                events.refuse(event)
            else:
                events.take(event.reported(), path, raw=orjson.dumps(item) if self.kind.tells_plain else None)
        return PreparedBody(digests_of(value, raw) if has_key else _UNKNOWN, is_single, events.done())


def _too_long(line: int) -> tuple[list[Fault], type[BodyTooLarge]]:
    return [Fault(f"a line is at most {MAX_LINE_BYTES:,} bytes", line=line)], BodyTooLarge


def blocks_of(pieces: Iterable[bytes]) -> Iterator[Block]:
    """Cut a stream into blocks of whole lines; a byte order mark at its beginning is left out."""
    cutter = _Cutter()
    for piece in pieces:
        yield from cutter.add(piece)
    yield from cutter.end()


class _Cutter:
    """Bytes of which the blocks are not made yet; `line` is the number of their first line."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._line = 1
        self._is_begun = False
        # The rest of a line that is too long is thrown away.
        self._is_skipping = False

    def add(self, piece: bytes) -> Iterator[Block]:
        """Add bytes; returns the blocks that are complete."""
        self._held += piece
        if not self._is_begun and len(self._held) >= len(_BOM):
            self._is_begun = True
            if self._held.startswith(_BOM):
                del self._held[: len(_BOM)]
        while self._has_more():
            end = self._end_of_block()
            if end:
                yield self._block(end)
            elif len(self._held) > MAX_LINE_BYTES:
                self._is_skipping = True
                yield Block(self._line, b"", is_too_long=True)
            else:
                return

    def end(self) -> Iterator[Block]:
        """Make the last block, whose last line may have no end."""
        if self._held:
            yield self._block(len(self._held))

    def _has_more(self) -> bool:
        if self._is_skipping:
            end = self._held.find(b"\n") + 1
            del self._held[: end or len(self._held)]
            self._is_skipping = not end
            self._line += not self._is_skipping
        return len(self._held) >= BLOCK_BYTES

    def _end_of_block(self) -> int:
        return self._held.rfind(b"\n", 0, BLOCK_BYTES) + 1 or self._held.find(b"\n", BLOCK_BYTES) + 1

    def _block(self, end: int) -> Block:
        found = Block(self._line, bytes(self._held[:end]))
        self._line += found.lines.count(b"\n")
        del self._held[:end]
        return found


def prepared_ahead(
    blocks: Iterator[Block], prepare: Callable[[Block], Prepared[Packed]]
) -> Generator[Prepared[Packed] | None, None, None]:
    """Prepare blocks in their order, AHEAD of the one that the caller works on; to be closed.

    Yields None every BEAT_SECONDS while the next block is not ready: its bytes may be long without an event,
    and the document workers busy.
    """
    # One more thread reads the blocks.
    pool = ThreadPoolExecutor(AHEAD + 1, thread_name_prefix="prepare")
    pending: deque[Future[Prepared[Packed]]] = deque()
    reading = pool.submit(next, blocks, None)
    try:
        while (block := (yield from _awaited(reading))) is not None:
            pending.append(pool.submit(prepare, block))
            if len(pending) > AHEAD:
                yield (yield from _awaited(pending.popleft()))
            reading = pool.submit(next, blocks, None)
        while pending:
            yield (yield from _awaited(pending.popleft()))
    finally:
        # A body that is refused is not kept waiting by work on its further blocks: its transaction would be
        # taken for an abandoned one.
        pool.shutdown(wait=False, cancel_futures=True)
        # But nobody reads on in a body that is read anew, or closed.
        if not reading.cancelled():
            wait((reading,))


def _awaited(future: Future[Found]) -> Generator[None, None, Found]:
    """Yield None every BEAT_SECONDS until the result is there, and return it."""
    while not wait((future,), BEAT_SECONDS).done:
        yield None
    return future.result()
