"""Packs that were lost: which, and which versions can't be read without them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.api import Tenant, git, run_git
from tests.support.reconciled import History, found, left, only, told, verify


@pytest.fixture
def history(tenant: Tenant) -> History:
    """A subscription with a history in several packs, verified without a finding before the test."""
    history = History(tenant)
    assert told(verify(tenant)) == []
    return history


def pack_of(history: History, commit: str) -> Path:
    """The pack that has a commit."""
    for index in history.tenant.repository.glob("objects/pack/*.idx"):
        if commit in history.git("show-index", input=index.read_bytes()):
            return index.with_suffix(".pack")
    raise AssertionError(f"no pack has {commit}")


@contextmanager
def without(*files: Path) -> Iterator[None]:
    """Move files away until the block ends."""
    for file in files:
        file.rename(file.parent.parent / file.name)
    yield
    for file in files:
        (file.parent.parent / file.name).rename(file)


def unread(history: History, number: int) -> str:
    """The description of the one version that can't be read."""
    return f"1 of 7 versions can't be read: {history.name}@{number} (commit {history.commit(number)})"


def test_a_pack_that_is_missing_is_named_with_the_version_in_it(history: History) -> None:
    pack = pack_of(history, history.commit(2))
    objects = len(history.git("show-index", input=pack.with_suffix(".idx").read_bytes()).splitlines())
    with without(pack):
        for repair in (False, True):
            lost, unverified = verify(history.tenant, repair=repair).findings
            assert (lost.code, lost.subject) == ("pack_missing", f"objects/pack/{pack.name}")
            assert (lost.expected, lost.found) == (f"a pack of {objects} objects", None)
            assert (lost.repaired, unverified.repaired) == (None, None)
            assert "index that has no pack" in str(lost.to_do)
            assert (unverified.code, unverified.subject) == ("not_verified", "main")
            assert str(unverified.found).startswith(f"{unread(history, 2)}; git log ended with status 128")
    assert told(verify(history.tenant)) == []


def test_a_pack_that_is_gone_with_its_index_is_told_by_its_versions(history: History) -> None:
    pack = pack_of(history, history.commit(2))
    with without(pack, pack.with_suffix(".idx")):
        finding = only(verify(history.tenant))
        assert (finding.code, finding.subject) == ("not_verified", "main")
        assert str(finding.found).startswith(f"{unread(history, 2)}; git log ended")
    assert told(verify(history.tenant)) == []


def test_where_the_newest_pack_is_lost_its_version_is_told_too(history: History) -> None:
    pack = pack_of(history, history.commit(3))
    with without(pack, pack.with_suffix(".idx")):
        tip, unverified = verify(history.tenant).findings
        assert (tip.code, tip.subject) == ("tip_missing", "refs/heads/main")
        assert (tip.expected, tip.found) == (history.commit(3), history.commit(3))
        assert (unverified.code, unverified.found) == ("not_verified", unread(history, 3))
    assert told(verify(history.tenant)) == []


def test_a_pack_without_its_index_is_named_where_versions_need_it(history: History) -> None:
    pack = pack_of(history, history.commit(2))
    with without(pack.with_suffix(".idx")):
        said = str(only(verify(history.tenant)).found)
        assert f"without an index, which `git index-pack` makes: {pack.name}; git log" in said
        run_git(history.tenant.repository, "index-pack", str(pack))
        assert told(verify(history.tenant)) == []
        pack.with_suffix(".idx").unlink()


def test_a_tree_that_is_lost_is_told_as_none_of_the_versions(history: History) -> None:
    tree = history.git("rev-parse", f"{history.commit(2)}^{{tree}}")
    objects = history.tenant.repository / "objects"
    for file in list(objects.glob("pack/pack-*")):
        moved = file.rename(objects / file.name)
        if moved.suffix == ".pack":
            history.git("unpack-objects", "-q", input=moved.read_bytes())
    (objects / tree[:2] / tree[2:]).unlink()
    finding = only(verify(history.tenant))
    assert (finding.code, finding.subject) == ("not_verified", "main")
    assert str(finding.found).startswith("every version's commit and blob are there; git log ended")
    assert tree in str(finding.found)


def test_an_index_whose_objects_came_back_from_a_clone_is_all_that_is_left(
    history: History, home: Path
) -> None:
    clone = history.tenant.clone(home / "mirror", None, "--mirror")
    git(clone, "repack", "-adq")
    pack = pack_of(history, history.commit(2))
    pack.unlink()
    for file in (clone / "objects/pack").glob("pack-*"):
        shutil.copy(file, pack.parent)
    found(history, "pack_missing", f"objects/pack/{pack.name}", only(verify(history.tenant)).expected, None)
    left(history, "pack_missing", f"objects/pack/{pack.name}")
    pack.with_suffix(".idx").unlink()
    assert told(verify(history.tenant)) == []


def test_many_versions_are_cut_short(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(25):
        tenant.save(workflow, {"n": number})
    assert told(verify(tenant)) == []
    for file in tenant.repository.glob("objects/pack/*.pack"):
        file.unlink()
    report = verify(tenant)
    assert {finding.code for finding in report.findings} == {"pack_missing", "tip_missing", "not_verified"}
    said = str(report.findings[-1].found)
    assert said.startswith("29 of 29 versions can't be read: ")
    assert said.endswith(", and 9 more")
    assert said.count(" (commit ") == 20


def test_where_the_newest_pack_of_published_is_lost_that_is_told(history: History) -> None:
    published = history.git("rev-parse", "published")
    pack = pack_of(history, published)
    with without(pack, pack.with_suffix(".idx")):
        finding = only(verify(history.tenant, repair=True))
        assert (finding.code, finding.subject) == ("tip_missing", "refs/heads/published")
        assert (finding.expected, finding.found, finding.repaired) == (published, published, None)
    assert told(verify(history.tenant)) == []
