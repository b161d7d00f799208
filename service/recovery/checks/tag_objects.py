"""Whether the object that a tag's row names is a tag of that name on the version's commit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from gitstore.read.inspection import Objects
from service.recovery.checks.findings import Code, Finding
from service.recovery.ref_repairs import TAGS, full_name
from sql.queries.reconcile import TagFact


class Difference(NamedTuple):
    """A finding, its row, and the object that the row has to name, None where git has none that fits."""

    finding: Finding
    tag: TagFact
    right: str | None


def differences(
    subscription_id: UUID,
    tags: Iterable[TagFact],
    commit_of: Callable[[TagFact], str],
    objects: Objects,
    present: Mapping[str, str],
) -> Iterator[Difference]:
    """Rows of tags that stand and whose object does not fit; `present` are the refs as they are."""
    for tag in tags:
        if not tag.stands:
            continue
        ref, commit = full_name(tag), commit_of(tag)
        if _fits(objects, tag.tag_object, ref, commit):
            continue
        at = present.get(ref)
        right = at if at is not None and _fits(objects, at, ref, commit) else None
        finding = Finding(
            code=Code.TAG_OBJECT_DIFFERS,
            subscription_id=subscription_id,
            subject=ref,
            expected=right or f"a tag of commit {commit}",
            found=_shown(objects, tag.tag_object),
        )
        yield Difference(finding, tag, right)


def _fits(objects: Objects, object_id: str, ref: str, commit: str) -> bool:
    # A light tag, from before there were tag objects, bears no name.
    return objects.tag_of(object_id) in ((ref.removeprefix(TAGS), commit), (None, commit))


def _shown(objects: Objects, object_id: str) -> str:
    found = objects.tag_of(object_id)
    if found is None:
        return f"{object_id}, which is {'no tag' if objects.exists(object_id) else 'missing'}"
    name, target = found
    return f"{object_id}, which names {target}" + ("" if name is None else f" as {name}")
