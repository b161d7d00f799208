"""Compare the columns of versions that repeat other rows: `is_current`, `is_published`, `version_tag`."""

from collections.abc import Collection, Iterator
from typing import NamedTuple
from uuid import UUID

from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.checks.main_branch import Facts
from service.recovery.trailers import subject
from sql.queries.reconcile import Mirror


class MirrorColumn(NamedTuple):
    """A column of a version that repeats other rows."""

    version_id: UUID
    column: Mirror


_CODES: tuple[tuple[Mirror, Code], ...] = (
    ("is_current", Code.CURRENT_DIFFERS),
    ("version_tag", Code.TAG_DIFFERS),
    ("is_published", Code.PUBLISHED_DIFFERS),
)


def differences(
    subscription_id: UUID, facts: Facts, *, untold: Collection[UUID]
) -> Iterator[RowDifference[MirrorColumn]]:
    """Yield the columns that differ, first those to clear; skips the resources in `untold`."""
    last: dict[tuple[str, UUID], int] = {}
    for version in facts.versions:
        key = (version.resource_type, version.resource_id)
        last[key] = max(last.get(key, 0), version.version_number)
    tags = {tag.version_id: tag.tag for tag in facts.tags if tag.is_present}
    published = {each.version_id for each in facts.publications if each.unpublished_at is None}
    found: list[tuple[bool, RowDifference[MirrorColumn]]] = []
    for version in facts.versions:
        if version.resource_id in untold:
            continue
        truth: dict[Mirror, bool | str | None] = {
            "is_current": version.version_number == last[version.resource_type, version.resource_id],
            "version_tag": tags.get(version.version_id),
            "is_published": version.version_id in published,
        }
        for column, code in _CODES:
            value: bool | str | None = getattr(version, column)
            if value != truth[column]:
                finding = Finding.of(
                    code,
                    subscription_id,
                    subject(version.resource_type, version.resource_id, version.version_number),
                    expected=_shown(truth[column]),
                    found=_shown(value),
                )
                mirror = MirrorColumn(version.version_id, column)
                found.append((bool(truth[column]), RowDifference(finding, mirror)))
    # At no instant may two versions of a resource be current, be published or have the same tag: clear first.
    found.sort(key=lambda each: each[0])
    yield from (difference for _, difference in found)


def _shown(value: bool | str | None) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value
