"""The rows of many data changes at once equal the rows of each alone, whatever has to be masked or cut."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import pytest

from service.audit import data_changes
from service.audit.data_changes import RecordRef, RecordState
from service.domain.audit_policy import Policy
from service.domain.callers import Origin
from sql.queries.data_changes import NewDataChange

AT = datetime(2026, 11, 25, tzinfo=UTC)
SUBSCRIPTION = UUID(int=1)
NAMES = (
    *("plain", "password=hunter2", "nul\0x", "https://user:secret@host/", "AKIAABCDEFGHIJKLMNOP"),
    *("y" * 499 + "é", "token: " + "z" * 490),
)
TAGS = (None, "release", "sk-abcdefghijklmnopqrstuvwxyz", "nul\0", "t" * 70_000)


class Somebody:
    """The author of a change."""

    user_id = UUID(int=2)
    username = "ana"
    policy = Policy()
    origin = Origin(
        request_id="r",
        ip_address=None,
        user_agent=None,
        endpoint="/v1",
        method="DELETE",
        reason="because api_key=abcdefgh",
    )


def records() -> list[RecordState]:
    return [
        RecordState(
            "workflows", UUID(int=number), name, {"version_id": UUID(int=number), "version_tag": tag}, number
        )
        for number, (name, tag) in enumerate((name, tag) for name in NAMES for tag in TAGS)
    ]


def shown(row: NewDataChange) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "change_id"}


@pytest.mark.parametrize("reason", [None, "given, with token=abcdefgh"])
@pytest.mark.parametrize("kind", ["INSERT", "DELETE"])
def test_many_that_come_or_go_have_the_rows_that_each_has_alone(
    kind: Literal["INSERT", "DELETE"], reason: str | None
) -> None:
    many = data_changes.rows_of(Somebody(), SUBSCRIPTION, records(), AT, change_type=kind, reason=reason)
    alone = [
        data_changes.row_of(
            Somebody(),
            SUBSCRIPTION,
            RecordRef(record.table_name, record.record_id, record.name),
            AT,
            old=record.state if kind == "DELETE" else None,
            new=record.state if kind == "INSERT" else None,
            number=record.number,
            reason=reason,
        )
        for record in records()
    ]
    assert [shown(row) for row in many] == [shown(row) for row in alone]
    assert all("hunter2" not in str(row) and "abcdefgh" not in str(row) for row in many)
