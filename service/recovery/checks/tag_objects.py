"""Check that the object in a tag's row is a tag of that name on the version's commit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from gitstore.read.inspection import Objects
from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.ref_repairs import TAGS, full_name
from sql.queries.reconcile import TagFact


class TagCorrection(NamedTuple):
    """The object that the row of a tag has to name."""

    tag: TagFact
    right: str


def differences(
    subscription_id: UUID,
    tags: Iterable[TagFact],
    commit_of: Callable[[TagFact], str],
    objects: Objects,
    present: Mapping[str, str],
) -> Iterator[RowDifference[TagCorrection]]:
    """Yield the rows of tags whose object is wrong; `present` are the objects of all refs in git."""
    for tag in tags:
        if not tag.is_present:
            continue
        ref, commit = full_name(tag), commit_of(tag)
        if _fits(objects, tag.tag_object, ref, commit):
            continue
        at = present.get(ref)
        right = at if at is not None and _fits(objects, at, ref, commit) else None
        finding = Finding.of(
            Code.TAG_OBJECT_DIFFERS,
            subscription_id,
            ref,
            expected=right or f"a tag of commit {commit}",
            found=_shown(objects, tag.tag_object),
        )
        yield RowDifference(finding, None if right is None else TagCorrection(tag, right))


def _fits(objects: Objects, object_id: str, ref: str, commit: str) -> bool:
    # A lightweight tag, from before Annals wrote tag objects, has no name in it.
    return objects.tag_of(object_id) in ((ref.removeprefix(TAGS), commit), (None, commit))


def _shown(objects: Objects, object_id: str) -> str:
    found = objects.tag_of(object_id)
    if found is None:
        return f"{object_id}, which is {'no tag' if objects.exists(object_id) else 'missing'}"
    name, target = found
    return f"{object_id}, which names {target}" + ("" if name is None else f" as {name}")
