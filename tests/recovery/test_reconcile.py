"""Each kind of damage is found exactly, repaired where the truth is known, and left with advice where not."""

import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from service.recovery.reconcile import MAX_FINDINGS, Bounds, VerifyDepth, VerifyReport, reconcile
from sql.database import Database as ServiceDatabase
from tests.support.api import Server, Tenant, ok, refused, run_git
from tests.support.histories import check_history
from tests.support.reconciled import History, audited, found, left, mended, only, told, verify

OLD = 2 * 24 * 3600


@pytest.fixture
def history(tenant: Tenant) -> History:
    """A subscription with a history, verified without a finding before the test."""
    history = History(tenant)
    assert told(verify(tenant)) == []
    return history


def age(path: Path, seconds: float = OLD) -> Path:
    """Make a file look old."""
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


# -- refs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["main", "published"])
def test_a_branch_behind_its_row_is_moved_forward(history: History, branch: str) -> None:
    if branch == "published":
        ok(history.tenant.ana.post(f"{history.at}/versions/2/publish"))
    head, ref = history.git("rev-parse", branch), f"refs/heads/{branch}"
    history.git("update-ref", ref, f"{branch}~1")
    found(history, "ref_behind", ref, head, history.git("rev-parse", ref))
    mended(history, "ref_behind", ref)
    assert history.git("rev-parse", ref) == head


@pytest.mark.parametrize("branch", ["main", "published"])
def test_a_branch_that_was_deleted_is_made_again(history: History, branch: str) -> None:
    head, ref = history.git("rev-parse", branch), f"refs/heads/{branch}"
    history.git("update-ref", "-d", ref)
    found(history, "ref_missing", ref, head, None)
    mended(history, "ref_missing", ref)


@pytest.mark.parametrize("branch", ["main", "published"])
def test_a_branch_that_was_moved_ahead_is_put_back_and_the_commit_kept(history: History, branch: str) -> None:
    head, ref = history.git("rev-parse", branch), f"refs/heads/{branch}"
    stranger = history.foreign(head, tree=f"{branch}^{{tree}}")
    history.git("update-ref", ref, stranger)
    found(history, "ref_ahead", ref, head, stranger)
    mended(history, "ref_ahead", ref, repair_says=f"refs/annals/found/{stranger}")
    assert history.git("rev-parse", f"refs/annals/found/{stranger}") == stranger


def test_a_branch_that_was_forked_is_put_back_and_the_commit_kept(history: History) -> None:
    head = history.git("rev-parse", "main")
    stranger = history.foreign("main~1")
    history.git("update-ref", "refs/heads/main", stranger)
    found(history, "ref_diverged", "refs/heads/main", head, stranger)
    mended(history, "ref_diverged", "refs/heads/main", repair_says=stranger)
    history.git("gc", "--prune=now", "-q")
    assert history.git("cat-file", "-t", stranger) == "commit"


def test_a_branch_that_was_moved_ahead_is_forked_once_a_save_goes_on_without_it(history: History) -> None:
    stranger = history.foreign("main")
    history.git("update-ref", "refs/heads/main", stranger)
    for number in (4, 5):
        refused(
            history.tenant.ana.post(f"{history.at}/versions", {"data": {"n": number}}), 503, "ref_not_moved"
        )
    head, _, commits = history.tips()
    assert head not in history.git("rev-list", stranger)
    found(history, "ref_diverged", "refs/heads/main", head, stranger)
    mended(history, "ref_diverged", "refs/heads/main", repair_says=stranger)
    assert int(history.git("rev-list", "--count", "main")) == commits
    assert history.tenant.save(history.workflow, {"n": 6})["version_number"] == 6


def test_what_was_kept_is_in_no_clone(history: History, home: Path) -> None:
    stranger = history.foreign("main")
    history.git("update-ref", "refs/heads/main", stranger)
    verify(history.tenant, repair=True)
    clone = history.tenant.clone(home / "mirror", None, "--mirror")
    assert "annals" not in run_git(clone, "for-each-ref").stdout.decode()
    assert run_git(clone, "cat-file", "-e", stranger, check=False).returncode != 0
    for version in (0, 1, 2):
        url = history.tenant.clone_url(history.tenant.ana)
        listed = run_git(home, "-c", f"protocol.version={version}", "ls-remote", url).stdout.decode()
        assert "refs/heads/main" in listed
        assert stranger not in listed


def test_a_branch_with_the_ids_of_nothing_is_put_back(history: History) -> None:
    head = history.git("rev-parse", "main")
    (history.tenant.repository / "refs/heads/main").write_text("1" * 40 + "\n")
    found(history, "ref_diverged", "refs/heads/main", head, "1" * 40)
    mended(history, "ref_diverged", "refs/heads/main")


@pytest.mark.parametrize("content", ["", "nonsense\n", "ref: refs/heads/published\n"])
def test_a_broken_ref_is_made_again(history: History, content: str) -> None:
    head = history.git("rev-parse", "main")
    (history.tenant.repository / "refs/heads/main").write_text(content)
    found(history, "ref_broken", "refs/heads/main", head, content.strip() or "nothing")
    mended(history, "ref_broken", "refs/heads/main")


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/notes/commits", "refs/replace/{head}"])
def test_a_ref_that_no_row_wants_is_removed_and_what_it_named_kept(history: History, ref: str) -> None:
    ref = ref.format(head=history.git("rev-parse", "main"))
    stranger = history.foreign("main~1")
    history.git("update-ref", ref, stranger)
    found(history, "ref_unexpected", ref, None, stranger)
    mended(history, "ref_unexpected", ref, repair_says=stranger)


def test_a_head_that_is_not_main_is_set_back(history: History) -> None:
    history.git("symbolic-ref", "HEAD", "refs/heads/published")
    found(history, "head_differs", "HEAD", "ref: refs/heads/main", "ref: refs/heads/published")
    mended(history, "head_differs", "HEAD")
    assert history.git("symbolic-ref", "HEAD") == "refs/heads/main"


@pytest.mark.parametrize("packed", [False, True])
def test_a_tag_that_was_deleted_in_git_is_made_again(history: History, packed: bool) -> None:
    if packed:
        history.git("pack-refs", "--all")
    tag = history.git("rev-parse", history.tag_ref)
    history.git("update-ref", "-d", history.tag_ref)
    found(history, "ref_missing", history.tag_ref, tag, None)
    mended(history, "ref_missing", history.tag_ref)


def test_a_tag_that_was_moved_in_git_is_put_back(history: History) -> None:
    tag, stranger = history.git("rev-parse", history.tag_ref), history.foreign("main")
    history.git("update-ref", history.tag_ref, stranger)
    found(history, "ref_differs", history.tag_ref, tag, stranger)
    mended(history, "ref_differs", history.tag_ref, repair_says=stranger)


def test_a_tag_that_git_alone_has_is_removed(history: History) -> None:
    ref = f"refs/tags/{history.name}/v9"
    history.git("update-ref", ref, history.commit(1))
    found(history, "ref_unexpected", ref, None, history.commit(1))
    mended(history, "ref_unexpected", ref)


def test_a_tag_whose_row_says_settled_too_early_is_made(history: History) -> None:
    tag = history.git("rev-parse", history.tag_ref)
    ok(history.tenant.ana.delete(f"{history.at}/versions/v2/tag"))
    history.git("update-ref", history.tag_ref, tag)
    found(history, "ref_unexpected", history.tag_ref, None, tag)
    mended(history, "ref_unexpected", history.tag_ref, repair_says="removed")
    assert history.git("for-each-ref", "refs/annals") == ""


def test_a_tag_that_a_crash_left_owing_is_made(history: History) -> None:
    tag = history.git("rev-parse", history.tag_ref)
    history.git("update-ref", "-d", history.tag_ref)
    history.sql("UPDATE tags SET ref_is_settled = false WHERE tag_object = %s", tag)
    found(history, "ref_behind", history.tag_ref, tag, None)
    mended(history, "ref_behind", history.tag_ref)


def test_a_tag_whose_row_names_another_object_is_corrected_from_git(history: History) -> None:
    tag = history.git("rev-parse", history.tag_ref)
    history.sql("UPDATE tags SET tag_object = %s WHERE tag_object = %s", "2" * 40, tag)
    found(history, "tag_object_differs", history.tag_ref, tag, f"{'2' * 40}, which is missing")
    mended(history, "tag_object_differs", history.tag_ref)


def test_a_tag_without_an_object_that_fits_is_left(history: History) -> None:
    tag, other = history.git("rev-parse", history.tag_ref), history.commit(1)
    history.git("update-ref", history.tag_ref, other)
    history.sql("UPDATE tags SET tag_object = %s WHERE tag_object = %s", other, tag)
    wanted = f"a tag of commit {history.commit(2)}"
    found(history, "tag_object_differs", history.tag_ref, wanted, f"{other}, which names {other}")
    left(history, "tag_object_differs", history.tag_ref)
    ok(history.tenant.ana.delete(f"{history.at}/versions/v2/tag"))
    ok(history.tenant.ana.put(f"{history.at}/versions/2/tag", {"tag": "v2"}))
    assert told(verify(history.tenant)) == []


@pytest.mark.parametrize("branch", ["main", "published"])
def test_a_row_that_is_behind_what_rows_name_is_moved_forward(history: History, branch: str) -> None:
    ok(history.tenant.ana.post(f"{history.at}/versions/2/publish"))
    tips = history.tips()
    history.point(branch, behind := history.git("rev-parse", f"{branch}~1"))
    ref, head = f"refs/heads/{branch}", history.git("rev-parse", branch)
    found(history, "tip_behind", ref, head, behind)
    mended(history, "tip_behind", ref)
    assert history.tips() == tips


def test_a_branch_on_a_fork_whose_row_is_known_is_left(history: History) -> None:
    stranger = history.foreign("main~1")
    head = history.git("rev-parse", "main")
    history.point("main", stranger)
    report = verify(history.tenant, repair=True)
    assert told(report) == [("tip_behind", "refs/heads/main")]
    assert (report.findings[0].expected, report.findings[0].found) == (head, stranger)
    assert history.git("rev-parse", "main") == head


def test_of_two_lines_that_both_have_rows_nothing_is_put_right(history: History) -> None:
    head = history.git("rev-parse", "main")
    history.point("main", history.git("rev-parse", "main~1"))
    refused(history.tenant.ana.post(f"{history.at}/versions", {"data": {"n": 4}}), 503, "ref_not_moved")
    tips = history.tips()
    report = verify(history.tenant, repair=True)
    assert told(report) == [("tip_behind", "refs/heads/main"), ("row_without_commit", f"{history.name}@4")]
    assert (report.findings[0].expected, report.findings[0].found) == (head, tips[0])
    assert len(report.left) == len(report.findings)
    assert history.tips() == tips
    assert audited(history.tenant) == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("branch", ["main", "published"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_row_of_a_commit_that_is_missing_is_left(history: History, branch: str, is_there: bool) -> None:
    head, ref = history.git("rev-parse", branch), f"refs/heads/{branch}"
    history.point(branch, "3" * 40)
    if not is_there:
        history.git("update-ref", "-d", ref)
    found(history, "tip_missing", ref, "3" * 40, head if is_there else None)
    left(history, "tip_missing", ref)


@pytest.mark.parametrize("name", ["refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"])
def test_a_stale_lock_is_removed(history: History, name: str) -> None:
    (history.tenant.repository / name).touch()
    found(history, "stale_lock", name, None, "a lock")
    mended(history, "stale_lock", name)
    assert not (history.tenant.repository / name).exists()


def test_a_lock_of_this_moment_is_none_of_reconciles_business(history: History) -> None:
    (history.tenant.repository / "refs/heads/main.lock").touch()
    assert told(verify(history.tenant, grace=60)) == []


# -- history ------------------------------------------------------------------------------------------


def test_a_commit_whose_row_is_gone_is_left(history: History) -> None:
    last = history.tenant.save(history.other, {"n": 9})
    history.sql("DELETE FROM versions WHERE version_id = %s", last["version_id"])
    subject = f"workflows/{history.other['resource_id']}@2"
    commit = f"commit {last['git_commit_hash']}"
    found(history, "commit_without_row", subject, f"a row of version {last['version_id']}", commit)
    left(history, "commit_without_row", subject)


def test_a_commit_that_names_no_version_is_left(history: History) -> None:
    stranger = history.foreign("main")
    history.git("update-ref", "refs/heads/main", stranger)
    history.sql(
        "UPDATE repositories SET head_commit = %s, commits = commits + 1 WHERE subscription_id = %s",
        stranger,
        history.tenant.subscription_id,
    )
    found(history, "commit_without_row", stranger, None, "a commit that names no version")
    left(history, "commit_without_row", stranger)


NEW_VERSION = (
    "INSERT INTO versions (version_id, subscription_id, resource_type, resource_id, resource_name,"
    " version_number, version_data, is_current, is_published, git_commit_hash, git_blob_id, commit_number,"
    " git_branch, git_repo_url, created_by, created_at)"
    " SELECT %s, subscription_id, resource_type, resource_id, resource_name, %s, version_data, false, false,"
    " %s, git_blob_id, commit_number, git_branch, git_repo_url, created_by, created_at"
    " FROM versions WHERE version_id = %s"
)


@pytest.mark.parametrize("commit", ["missing", "unreachable"])
def test_a_row_whose_commit_is_missing_or_unreachable_is_left(history: History, commit: str) -> None:
    made = "4" * 40 if commit == "missing" else history.foreign("main")
    version_id = str(uuid4())
    history.sql("UPDATE versions SET is_current = false WHERE version_id = %s", history.version_id(3))
    history.sql(NEW_VERSION, version_id, 4, made, history.version_id(3))
    subject = f"{history.name}@4"
    where = "is missing" if commit == "missing" else "is not on main"
    found(
        history, "row_without_commit", subject, f"a commit of version {version_id}", f"commit {made} {where}"
    )
    left(history, "row_without_commit", subject)


COLUMNS: dict[str, tuple[LiteralString, str | int]] = {
    "commit_differs": ("git_commit_hash", "5" * 40),
    "blob_differs": ("git_blob_id", "6" * 40),
    "number_differs": ("version_number", 77),
    "commit_number_differs": ("commit_number", 99),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("code", COLUMNS)
def test_a_column_that_git_refutes_is_corrected(history: History, code: str, number: int) -> None:
    column, value = COLUMNS[code]
    right = history.column(number, column)
    history.set(number, column, value)
    subject = f"{history.name}@{77 if column == 'version_number' else number}"
    found(history, code, subject, str(right), str(value))
    mended(history, code, subject)


def test_a_resource_that_git_refutes_is_left(history: History) -> None:
    history.sql(
        "UPDATE versions SET resource_id = %s, version_number = 50, is_current = false, version_tag = NULL"
        " WHERE version_id = %s",
        history.other["resource_id"],
        history.version_id(3),
    )
    subject = f"workflows/{history.other['resource_id']}@50"
    found(history, "resource_differs", subject, f"{history.name}@3", subject)


def test_a_gap_that_git_has_too_is_left(history: History) -> None:
    version_id = str(uuid4())
    stranger = history.foreign("main", message=f"x\n\nAnnals-Version: {history.name}@5 {version_id}")
    history.git("update-ref", "refs/heads/main", stranger)
    history.sql(
        "UPDATE repositories SET head_commit = %s, commits = commits + 1 WHERE subscription_id = %s",
        stranger,
        history.tenant.subscription_id,
    )
    history.sql("UPDATE versions SET is_current = false WHERE version_id = %s", history.version_id(3))
    history.sql(NEW_VERSION, version_id, 5, stranger, history.version_id(3))
    history.sql(
        "UPDATE versions SET is_current = true, commit_number = %s WHERE version_id = %s",
        history.tips()[2],
        version_id,
    )
    found(history, "number_gap", history.name, "versions 1 to 5", "without 4")
    left(history, "number_gap", history.name)


def test_a_merge_is_left(history: History) -> None:
    workflow = f"workflows/{history.other['resource_id']}"
    version_id = str(uuid4())
    message = f"x\n\nAnnals-Version: {workflow}@2 {version_id}"
    merge = history.foreign("main", "main~2", message=message)
    head = history.git("rev-parse", "main")
    second = history.git("rev-parse", "main~2")
    [first] = history.tenant.server.database.rows(
        "SELECT version_id FROM versions WHERE resource_id = %s", history.other["resource_id"]
    )
    history.git("update-ref", "refs/heads/main", merge)
    history.sql("UPDATE versions SET is_current = false WHERE version_id = %s", first[0])
    history.sql(NEW_VERSION, version_id, 2, merge, first[0])
    history.sql("UPDATE versions SET is_current = true WHERE version_id = %s", version_id)
    history.sql(
        "UPDATE repositories SET head_commit = %s WHERE subscription_id = %s",
        merge,
        history.tenant.subscription_id,
    )
    found(history, "parents_not_linear", merge, head, f"{head}, {second}")
    left(history, "parents_not_linear", merge)


def test_a_count_of_commits_that_is_wrong_is_corrected(history: History) -> None:
    _, _, commits = history.tips()
    history.sql(
        "UPDATE repositories SET commits = 3 WHERE subscription_id = %s", history.tenant.subscription_id
    )
    found(history, "commit_count_differs", "main", str(commits), "3")
    mended(history, "commit_count_differs", "main")


def test_a_document_that_differs_from_its_blob_is_written_again(history: History) -> None:
    history.sql(
        "UPDATE versions SET version_data = jsonb_set(version_data, '{definition,n}', '2.5')"
        " WHERE version_id = %s",
        history.version_id(2),
    )
    blob = history.git("rev-parse", f"{history.commit(2)}:{history.path}")
    subject = f"{history.name}@2"
    found(history, "data_differs", subject, f"the JSON of blob {blob}", "another value in version_data")
    mended(history, "data_differs", subject)
    stored = history.value(
        "SELECT version_data->'definition'->>'n' FROM versions WHERE version_id = %s", history.version_id(2)
    )
    assert json.loads(stored) == 2


def test_a_blob_that_is_missing_is_told(history: History) -> None:
    blob = history.git("rev-parse", f"{history.commit(2)}:{history.path}")
    objects = history.tenant.repository / "objects"
    for file in list(objects.glob("pack/pack-*")):
        moved = file.rename(objects / file.name)
        if moved.suffix == ".pack":
            history.git("unpack-objects", "-q", input=moved.read_bytes())
    (objects / blob[:2] / blob[2:]).unlink()
    found(history, "blob_missing", f"{history.name}@2", blob, "no such blob")
    left(history, "blob_missing", f"{history.name}@2")
    report = verify(history.tenant, depth=VerifyDepth.OBJECTS)
    assert told(report)[0] == ("blob_missing", f"{history.name}@2")
    assert {code for code, _ in told(report)[1:]} == {"object_corrupt"}
    assert any(blob in str(finding.found) for finding in report.findings[1:])


@pytest.mark.parametrize(
    ("code", "number", "column", "value", "expected", "shown"),
    [
        ("current_differs", 3, "is_current", False, "true", "false"),
        ("tag_differs", 2, "version_tag", None, "v2", None),
        ("tag_differs", 1, "version_tag", "v1", None, "v1"),
        ("published_differs", 1, "is_published", False, "true", "false"),
    ],
)
def test_a_mirror_of_other_rows_is_corrected(
    history: History,
    code: str,
    number: int,
    column: LiteralString,
    value: str | bool | None,
    expected: str | None,
    shown: str | None,
) -> None:
    history.set(number, column, value)
    subject = f"{history.name}@{number}"
    found(history, code, subject, expected, shown)
    mended(history, code, subject)


# -- published ----------------------------------------------------------------------------------------


def test_a_published_branch_without_a_file_is_left(history: History) -> None:
    line = f"Annals-Published: {history.name}@2 {history.version_id(2)}"
    at = "2026-01-01T00:00:00.000000Z"
    tree = history.git("mktree", input=b"")
    stranger = history.foreign("published", message=f"x\n\n{line}\nAnnals-Time: {at}", tree=tree)
    history.git("update-ref", "refs/heads/published", stranger)
    history.sql(
        "UPDATE repositories SET published_commit = %s WHERE subscription_id = %s",
        stranger,
        history.tenant.subscription_id,
    )
    history.sql(
        "INSERT INTO publications (publication_id, subscription_id, resource_type, resource_id, version_id,"
        " published_by, published_at, unpublished_by, unpublished_at)"
        " SELECT %s, subscription_id, resource_type, resource_id, %s, published_by, %s, published_by, %s"
        " FROM publications WHERE version_id = %s",
        str(uuid4()),
        history.version_id(2),
        at,
        at,
        history.version_id(1),
    )
    blob = history.git("rev-parse", f"{history.commit(1)}:{history.path}")
    found(history, "published_tree_differs", history.name, blob, None)
    left(history, "published_tree_differs", history.name)
    ok(history.tenant.ana.post(f"{history.at}/versions/2/publish"))
    assert told(verify(history.tenant)) == []


def test_a_publication_without_a_commit_is_left(history: History) -> None:
    history.sql(
        "INSERT INTO publications (publication_id, subscription_id, resource_type, resource_id, version_id,"
        " published_by, published_at, unpublished_by, unpublished_at)"
        " SELECT %s, subscription_id, resource_type, resource_id, %s, published_by, '2026-01-01',"
        " published_by, '2026-01-02' FROM publications WHERE version_id = %s",
        str(uuid4()),
        history.version_id(2),
        history.version_id(1),
    )
    finding = only(verify(history.tenant))
    assert (finding.code, finding.subject) == ("publication_without_commit", f"{history.name}@2")
    left(history, "publication_without_commit", f"{history.name}@2")


def test_a_commit_of_published_whose_row_is_gone_is_left(history: History) -> None:
    history.sql("DELETE FROM publications WHERE version_id = %s", history.version_id(1))
    report = verify(history.tenant)
    assert told(report) == [("commit_without_row", f"{history.name}@1")]
    left(history, "commit_without_row", f"{history.name}@1")


# -- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["objects/pack/tmp_0123.pack", "objects/ab/tmp_obj_x"])
def test_a_file_that_was_never_finished_is_removed_after_a_day(history: History, name: str) -> None:
    file = history.tenant.repository / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"half")
    assert told(verify(history.tenant)) == []
    age(file)
    assert only(verify(history.tenant)).code == "leftover"
    assert file.exists()
    mended(history, "leftover", name)
    assert not file.exists()


def test_a_lock_on_objects_is_removed_after_a_day(history: History) -> None:
    name = "objects/info/commit-graphs/commit-graph-chain.lock"
    file = history.tenant.repository / name
    file.parent.mkdir(parents=True)
    file.touch()
    assert told(verify(history.tenant)) == []
    age(file)
    mended(history, "stale_lock", name)


def test_a_repository_that_is_missing_is_told(history: History) -> None:
    away = history.tenant.repository.with_suffix(".away")
    history.tenant.repository.rename(away)
    try:
        name = history.tenant.repository.name
        finding = only(verify(history.tenant, repair=True))
        assert (finding.code, finding.subject, finding.repaired) == ("repository_missing", name, None)
    finally:
        away.rename(history.tenant.repository)


def test_an_empty_repository_that_is_missing_is_made_again(tenant: Tenant) -> None:
    shutil.rmtree(tenant.repository)
    assert only(verify(tenant, repair=True)).repaired is not None
    assert told(verify(tenant)) == []
    tenant.workflow()
    check_history(tenant)


def test_an_object_that_is_corrupt_is_found_by_full(history: History) -> None:
    assert told(verify(history.tenant, depth=VerifyDepth.OBJECTS)) == []
    pack = max(history.tenant.repository.glob("objects/pack/*.pack"), key=lambda file: file.stat().st_size)
    pack.chmod(0o644)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pack.write_bytes(content)
    report = verify(history.tenant, depth=VerifyDepth.OBJECTS)
    corrupt = [finding for finding in report.findings if finding.code == "object_corrupt"]
    assert corrupt
    assert any(pack.name in str(finding.found) for finding in corrupt)


# -- limits -------------------------------------------------------------------------------------------


def test_more_findings_than_a_run_takes_are_cut(history: History) -> None:
    head = history.git("rev-parse", "main")
    lines = "".join(f"{head} refs/heads/x{number:04}\n" for number in range(MAX_FINDINGS + 5))
    (history.tenant.repository / "packed-refs").write_text(lines)
    report = verify(history.tenant)
    assert len(report.findings) == MAX_FINDINGS + 1
    assert report.findings[-1].code == "not_verified"


def test_a_login_that_may_not_be_the_owner_leaves_versions_as_they_are(history: History) -> None:
    history.set(1, "commit_number", 99)
    name = f"annals_test_{uuid4().hex[:12]}"
    database = history.tenant.server.database
    with database.connection() as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        connection.execute(sql.SQL("GRANT annals_service TO {}").format(role))
        url = make_url(database.url).set(username=name, password="secret")
        pool = ServiceDatabase(url.render_as_string(hide_password=False), pool_size=2)
        try:
            finding = only(verify(history.tenant, repair=True, database=pool))
        finally:
            pool.close()
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
    assert (finding.code, finding.repaired) == ("commit_number_differs", None)
    assert "may not change versions" in str(finding.failed)
    mended(history, "commit_number_differs", f"{history.name}@1")


# -- all of them --------------------------------------------------------------------------------------


@dataclass
class House:
    """A server's whole store, in which there are two subscriptions besides what a test leaves."""

    server: Server

    def verify(self, *, repair: bool = False, bounds: Bounds | None = None) -> VerifyReport:
        context = self.server.context
        return reconcile(
            context.database,
            context.store,
            context.clock,
            repair=repair,
            depth=VerifyDepth.REFS,
            grace_seconds=0,
            bounds=bounds or Bounds(),
        )

    def about(self, name: str, *, repair: bool = False) -> list[tuple[str, bool]]:
        """The findings whose subject has a name in it."""
        report = self.verify(repair=repair)
        return [(f.code.value, f.repaired is not None) for f in report.findings if name in f.subject]


@pytest.fixture(scope="module")
def house(lone_server: Server) -> House:
    """A server of this file alone: each call would verify the subscriptions of all other tests, too."""
    for name in ("acme", "stranger"):
        Tenant(lone_server, name).workflow()
    return House(lone_server)


@pytest.mark.parametrize("make", ["store", "temporary"])
def test_a_folder_that_was_never_finished_is_removed_after_a_day(house: House, make: str) -> None:
    root = house.server.context.store.root
    folder = root / f"tmp-{uuid4()}" if make == "store" else Path(tempfile.mkdtemp(prefix="annals-diff-"))
    folder.mkdir(exist_ok=True)
    (folder / "old").write_text("x")
    assert house.about(folder.name) == []
    age(folder)
    assert house.about(folder.name) == [("leftover", False)]
    assert house.about(folder.name, repair=True) == [("leftover", True)]
    assert not folder.exists()
    assert house.about(folder.name) == []
    assert (
        house.server.database.value(
            "SELECT count(*) FROM audit_logs WHERE subscription_id IS NULL AND username = 'system:reconcile'"
            " AND resource_name LIKE %s",
            f"%{folder.name}",
        )
        == 1
    )


def test_a_repository_without_a_subscription_is_left_unless_nothing_is_in_it(house: House) -> None:
    context = house.server.context
    stranger = str(uuid4())
    path = context.store.ensure(stranger)
    assert house.about(stranger) == []
    age(path, 120)
    assert house.about(stranger, repair=True) == [("repository_unexpected", False)]
    age(path)
    (path / "refs/heads/main").write_text("1" * 40)
    assert house.about(stranger, repair=True) == [("repository_unexpected", False)]
    (path / "refs/heads/main").unlink()
    age(path)
    assert house.about(stranger, repair=True) == [("repository_unexpected", True)]
    assert not path.exists()


def test_one_broken_repository_stops_nothing(house: House) -> None:
    tenant, stranger = Tenant(house.server), Tenant(house.server, "stranger")
    for each in (tenant, stranger):
        each.workflow()
    (tenant.repository / "objects").rename(tenant.repository / "gone")
    (tenant.repository / "refs").rename(tenant.repository / "lost")
    history = stranger.git("rev-parse", "main~1").strip()
    stranger.git("update-ref", "refs/heads/main", history)
    report = house.verify(repair=True)
    by_tenant = {str(f.subscription_id): f for f in report.findings}
    assert by_tenant[tenant.subscription_id].repaired is None
    assert by_tenant[stranger.subscription_id].repaired is not None
    (tenant.repository / "gone").rename(tenant.repository / "objects")
    (tenant.repository / "lost").rename(tenant.repository / "refs")


def test_a_run_is_bounded_and_the_next_goes_on(house: House) -> None:
    seen, after = 0, None
    while True:
        report = house.verify(bounds=Bounds(subscriptions=1, after=after))
        seen += report.subscriptions
        after = report.resume_after
        if after is None:
            break
        assert report.subscriptions == 1
    assert seen == house.verify().subscriptions
    assert seen >= 2
    assert house.verify(bounds=Bounds(seconds=0)).subscriptions == 1
