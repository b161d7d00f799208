"""Recording the events of platforms: one way for each log, and for each form of a body.

The events of a body are *prepared* in blocks, by any process: checked, made rows, and packed. Prepared blocks
are *stored* one after the other in one transaction, while the next ones are prepared. So all of a body is
stored, or nothing.

Bodies can share rows: the count of a record, or the id of an event. Each block locks its rows in one order,
but two bodies of many blocks can lock them in different orders, and PostgreSQL ends one of the transactions.
That body is stored anew, once. Long streams that share rows take turns (`sql.queries.stream_turns`).
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject
from service.documents.strict_json import MAX_FAULTS, Step, pointer_of
from service.domain.actions import Action
from service.domain.errors import BodyTooLarge, Busy, Fault, Invalid, MalformedJson
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from service.usecases.event_batches import Arrival, Dated
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Pulse, Transaction
from sql.errors import WriteConflict
from sql.queries import log_chunks, stream_turns
from sql.queries.posted_events import HeldAddresses

# Faults that an answer names, where faulty events are left out; all of them are counted.
MAX_ERRORS = 100
# More faulty events are no slip of a sender: the whole body is refused.
MAX_SKIPPED = 100_000
# The longest that a stream waits for the others of its subscription that share rows with it.
# It holds a thread, a connection and a place for streams meanwhile.
TURN_SECONDS: Final = 60.0
# A transaction that waits for the next block shows after so long that it is not abandoned.
BEAT_SECONDS: Final = 5.0

Report = TypeVar("Report", bound=Dated)
Row = TypeVar("Row")
Packed = TypeVar("Packed")
Refusal = type[Invalid] | type[MalformedJson] | type[BodyTooLarge]


@dataclass(frozen=True, slots=True)
class Stored:
    """Result of storing rows: how many are new, and the id of the first, which may have been there before.

    The `addresses` of actors, by their ids, are stored at the end of the body.
    """

    new: int
    first_id: UUID | None
    addresses: Mapping[str, str] = field(default_factory=dict)


def _shares_none(_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind(Generic[Report, Row, Packed]):
    """Kind of events that platforms post.

    `row_of` and `pack`, which makes rows ready for `store`, run in any process: they are pure functions at
    the top of a module, so that a pickle can name them.
    """

    log: str
    # The hypertables that get rows; none if the rows lie in a plain table.
    hypertables: tuple[str, ...]
    row_of: Callable[[Arrival, Report], Row]
    pack: Callable[[Sequence[Row]], Packed]
    store: Callable[[Transaction, SubscriptionId, Packed], Stored]
    # Tells if rows are stored by way of rows that other bodies of the subscription may need, too.
    shares_rows: Callable[[Packed], bool] = _shares_none
    # True if `row_of` is told which events are plain (`Arrival.is_plain`): finding that out takes a search.
    tells_plain: bool = False
    # True if events can have ids of their sender: then an event that was stored before is not stored again.
    has_event_ids: bool = False
    # True if one audit event says how many events were recorded; those of the audit log speak for themselves.
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Packed]):
    """Block of events, ready to be stored; `packed` is None if there is nothing to store.

    `faults` are at most as many as are told, of `skipped` events. `refusal` is the error of the first one.
    """

    packed: Packed | None
    rows: int
    skipped: int
    faults: Sequence[Fault]
    refusal: Refusal


# A way to prepare the blocks of a body from its beginning; None comes while the next one is not ready yet.
Blocks: TypeAlias = Callable[[], Generator[Prepared[Packed] | None, None, None]]


def in_one_block(prepared: Prepared[Packed]) -> Blocks[Packed]:
    """Make the blocks of a body that is prepared as a whole."""

    def blocks() -> Generator[Prepared[Packed] | None, None, None]:
        yield prepared

    return blocks


class Preparation(Generic[Report, Row, Packed]):
    """Events of one block, as they become rows. With `skips`, events with faults are left out."""

    def __init__(self, kind: EventKind[Report, Row, Packed], arrival: Arrival, *, skips: bool) -> None:
        self._kind = kind
        self._arrival = arrival
        self._plain = replace(arrival, is_plain=True)
        self._most = MAX_ERRORS if skips else MAX_FAULTS
        self._skips = skips
        self._rows: list[Row] = []
        self._faults: list[Fault] = []
        self._skipped = 0
        self._refusal: Refusal = Invalid

    @property
    def is_refused(self) -> bool:
        """True if further events need not be looked at."""
        return not self._skips and len(self._faults) >= self._most

    def take(
        self, report: Report, path: Sequence[Step] = (), *, line: int | None = None, raw: bytes | None = None
    ) -> None:
        """Add an event; `raw` is its text, if it is known."""
        fault = self._arrival.fault_of(report)
        if fault is not None:
            name, detail = fault
            self.refuse([Fault(detail, pointer=pointer_of([*path, name]), line=line)])
        elif self._skips or not self._faults:
            is_plain = self._kind.tells_plain and raw is not None and events.is_plain(raw)
            self._rows.append(self._kind.row_of(self._plain if is_plain else self._arrival, report))

    def refuse(self, faults: Iterable[Fault], refusal: Refusal = Invalid) -> None:
        """Leave an event out, for its faults."""
        if not self._skipped:
            self._refusal = refusal
        self._skipped += 1
        self._faults += faults
        del self._faults[self._most :]

    def done(self) -> Prepared[Packed]:
        """Pack the rows."""
        is_stored = bool(self._rows) and (self._skips or not self._faults)
        packed = self._kind.pack(self._rows) if is_stored else None
        return Prepared(packed, len(self._rows), self._skipped, self._faults, self._refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBody:
    """Numbers of events that were stored, were there before, and were left out, with faults of the last.

    `ids` has the id of an event that was sent alone. A number that the call does not count is None.
    """

    accepted: int
    duplicates: int | None = None
    ids: list[UUID] | None = None
    skipped: int | None = None
    errors: list[dict[str, Any]] | None = None

    def shown(self) -> dict[str, Any]:
        """Make the body of the answer, without what is not counted."""
        names = ("accepted", "duplicates", "ids", "skipped", "errors")
        return {name: found for name in names if (found := getattr(self, name)) is not None}


_RECORDED_BODY = TypeAdapter(RecordedBody)


def prepare_chunks(context: Context, kind: EventKind[Any, Any, Any], arrival: Arrival) -> None:
    """Make the chunks that the rows of a body need.

    Who makes a chunk stops all writers of that log until the transaction ends, and that of a stream is long.
    """
    with context.database.transaction(arrival.subscription_id) as tx:
        log_chunks.make(tx, kind.hypertables, arrival.at)


def record(
    context: Context,
    arrival: Arrival,
    kind: EventKind[Any, Any, Packed],
    blocks: Blocks[Packed],
    *,
    once: Attempt | None,
    is_single: bool = False,
    is_long: bool = False,
    skips: bool = False,
) -> RecordedBody:
    """Store the events of a body: all or none, or with `skips` those without faults.

    `is_long` is said of a stream that may take minutes. Raises Invalid, MalformedJson, BodyTooLarge,
    QuotaExceeded and Busy, and the errors of `blocks`.
    """
    posting = _Posting(arrival, kind, blocks, is_single=is_single, is_long=is_long, skips=skips)

    def attempt() -> RecordedBody:
        quota = LogRowsQuota(arrival.subscription_id, arrival.at)
        work = partial(posting.stored, quota)
        return run_once(context, arrival.subscription_id, once, _RECORDED_BODY, work, first=quota.send)

    try:
        return attempt()
    except WriteConflict:
        # Another body locked the same rows in another order. It goes on now, and its rows come free.
        return attempt()


class _Posting(Generic[Packed]):
    """A body to be stored, in one transaction or, if that fails, in another."""

    def __init__(
        self,
        arrival: Arrival,
        kind: EventKind[Any, Any, Packed],
        blocks: Blocks[Packed],
        *,
        is_single: bool,
        is_long: bool,
        skips: bool,
    ) -> None:
        self._arrival = arrival
        self._kind = kind
        self._blocks = blocks
        self._is_single = is_single
        self._is_long = is_long
        self._skips = skips

    def stored(self, quota: LogRowsQuota, tx: Transaction) -> RecordedBody:
        """Store the events, and the audit event of the call."""
        tally = _Tally(skips=self._skips)
        with closing(self._blocks()) as blocks:
            self._store(tx, quota, blocks, tally)
        tally.check_end()
        quota.take(tx, tally.accepted)
        if self._kind.is_recorded and tally.accepted:
            self._record(tx, tally)
        return tally.recorded(is_single=self._is_single, has_event_ids=self._kind.has_event_ids)

    def _store(
        self,
        tx: Transaction,
        quota: LogRowsQuota,
        blocks: Iterable[Prepared[Packed] | None],
        tally: "_Tally",
    ) -> None:
        subscription_id = self._arrival.subscription_id
        addresses = HeldAddresses(tx, subscription_id)
        pulse = Pulse(tx, BEAT_SECONDS)
        has_turn = not self._is_long
        for block in blocks:
            pulse.beat()
            if block is None:
                continue
            tally.add(block)
            if block.packed is None:
                continue
            if not has_turn and self._kind.shares_rows(block.packed):
                self._take_turn(tx)
                has_turn = True
            stored = self._kind.store(tx, subscription_id, block.packed)
            tally.store(stored)
            quota.check(tally.accepted)
            addresses.add(stored.addresses)
        addresses.store()

    def _take_turn(self, tx: Transaction) -> None:
        if not stream_turns.take(tx, self._arrival.subscription_id, self._kind.log, seconds=TURN_SECONDS):
            raise Busy("Other streams of the subscription take too long; nothing was stored.")

    def _record(self, tx: Transaction, tally: "_Tally") -> None:
        arrival = self._arrival
        subject = Subject(self._kind.log, arrival.subscription_id, None)
        new = {"accepted": tally.accepted} | ({"skipped": tally.skipped} if tally.skipped else {})
        events.record(
            tx, arrival.caller, arrival.subscription_id, subject, Action.RECORD, arrival.at, new=new
        )


@dataclass(slots=True)
class _Tally:
    """Counts of a body, block by block."""

    skips: bool
    rows: int = 0
    accepted: int = 0
    skipped: int = 0
    first_id: UUID | None = None
    faults: list[Fault] = field(default_factory=list)

    def add(self, block: Prepared[Any]) -> None:
        """Count a block; raises the refusal of one that is not taken."""
        if block.faults and not self.skips:
            raise refusal_of(block)
        self.rows += block.rows
        self.skipped += block.skipped
        self.faults += block.faults[: MAX_ERRORS - len(self.faults)]
        if self.skipped > MAX_SKIPPED:
            raise Invalid(
                f"More than {MAX_SKIPPED:,} events are not valid. Nothing was stored.",
                faults=self.faults[:MAX_FAULTS],
            )

    def store(self, stored: Stored) -> None:
        """Count rows that were stored."""
        self.accepted += stored.new
        self.first_id = self.first_id or stored.first_id

    def check_end(self) -> None:
        """Raise Invalid for a body without events."""
        if not self.rows and not self.skipped:
            fault = Fault("at least one event is needed", pointer="")
            raise Invalid("The body has no events.", faults=[fault])

    def recorded(self, *, is_single: bool, has_event_ids: bool) -> RecordedBody:
        """Make the result."""
        return RecordedBody(
            accepted=self.accepted,
            duplicates=self.rows - self.accepted if has_event_ids else None,
            ids=[self.first_id] if is_single and self.first_id is not None else None,
            skipped=self.skipped if self.skips else None,
            errors=[fault.shown() for fault in self.faults] if self.skips else None,
        )


def refusal_of(block: Prepared[Any]) -> Invalid | MalformedJson | BodyTooLarge:
    """Make the error of a block that has faults."""
    places = "; ".join(f"{_place(fault)}: {fault.detail}" for fault in block.faults[:3])
    return block.refusal(f"The body is not valid: {places}.", faults=block.faults)


def _place(fault: Fault) -> str:
    line = "" if fault.line is None else f"line {fault.line} "
    return f"{line}{fault.pointer or ''}".strip() or "the body"
