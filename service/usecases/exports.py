"""Exports: whole lists, read in parts of one page each, and the event that records an export."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.audit import events
from service.audit.events import Subject
from service.documents.tabular import FileFormat
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import MAX_LIMIT, Page, Paging
from service.usecases.context import Context
from sql.database import PLATFORM

# Each part is a page of its own transaction, so that no export holds a connection while its reader reads.
PART_ROWS: Final = MAX_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeList:
    """A list to be exported: what it is a list of, the columns, the filters, and how a page is read."""

    noun: str
    columns: tuple[str, ...]
    filters: Mapping[str, Any]
    read: Callable[[Paging], Page[Any]]

    def part(self, cursor: str | None) -> Page[Any]:
        """Read the rows that follow on a cursor, or the first ones; raises the errors of the list."""
        return self.read(Paging(PART_ROWS, cursor, is_part=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """The caller of an export, and the subscription of the list; `tenant` is its name."""

    context: Context
    caller: Caller
    subscription_id: SubscriptionId | None
    tenant: str


def record(of: Exporting, listed: WholeList, form: FileFormat, *, rows: int, is_whole: bool) -> None:
    """Record an export with the number of rows that were read; `is_whole` is false if it broke off."""
    about = {"filters": dict(listed.filters), "format": form, "rows": rows, "complete": is_whole}
    subject = Subject(listed.noun, of.subscription_id, None)
    at = of.context.clock()
    with of.context.database.transaction(of.subscription_id or PLATFORM) as tx:
        events.record(tx, of.caller, of.subscription_id, subject, Action.EXPORT, at, new=about)
