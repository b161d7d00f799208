"""Real git clients, by every protocol, against a server under constant writes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest

from tests.support.api import Json, Tenant, git, ok, run_git, snapshot_path
from tests.support.histories import check_history

PROTOCOLS = [0, 1, 2]


@contextmanager
def written_to(tenant: Tenant, resources: list[Json]) -> Iterator[None]:
    """Have two users save, tag and publish without a pause until the block ends."""
    ended = threading.Event()
    failures: list[str] = []

    def write(name: str, resource: Json) -> None:
        caller, number = tenant.caller(name), 0
        while not ended.is_set():
            number += 1
            body = {"data": {name: number}, "tag": f"{name}-{number}", "publish": number % 2 == 0}
            response = caller.post(f"{tenant.at(resource)}/versions", body)
            if response.status_code != 201:
                failures.append(response.text)
                return

    threads = [
        threading.Thread(target=write, args=(name, resource))
        for name, resource in zip(("ana", "ben"), resources, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.fixture
def busy(tenant: Tenant) -> Iterator[tuple[Tenant, Json]]:
    """A subscription in which two users write, and a published workflow that nobody changes."""
    resources = [tenant.workflow(), tenant.workflow()]
    quiet = tenant.workflow(definition={"n": 0})
    _ = tenant.ben, tenant.vera
    tenant.save(quiet, {"n": 1}, publish=True)
    tenant.save(quiet, {"n": 2})
    with written_to(tenant, resources):
        yield tenant, quiet
    check_history(tenant)


def cloned(tenant: Tenant, home: Path, name: str, protocol: int, *options: str) -> Path:
    """A clone by that protocol."""
    url = tenant.clone_url(tenant.vera)
    run_git(home, "-c", f"protocol.version={protocol}", "clone", "-q", *options, url, name)
    run_git(home / name, "config", "protocol.version", str(protocol))
    return home / name


def shown(folder: Path, path: str, ref: str = "HEAD") -> str:
    return git(folder, "show", f"{ref}:{path}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_clones_and_fetches_are_whole(busy: tuple[Tenant, Json], home: Path, protocol: int) -> None:
    tenant, quiet = busy
    clone = cloned(tenant, home, "whole", protocol)
    before = int(git(clone, "rev-list", "--count", "HEAD"))
    for _ in range(3):
        run_git(clone, "fetch", "-q", "--tags")
        run_git(clone, "merge", "-q", "--ff-only", "origin/main")
    assert int(git(clone, "rev-list", "--count", "HEAD")) > before
    assert git(clone, "fsck", "--strict", "--no-dangling") == ""
    # A tag names a commit of main at its time, so each points into the history that was fetched or is ahead.
    tags = git(clone, "for-each-ref", "--format=%(objecttype) %(*objecttype)", "refs/tags").splitlines()
    assert set(tags) == {"tag commit"}
    data = tenant.vera.get(f"{tenant.at(quiet)}/versions/current/data").text
    assert shown(clone, snapshot_path(quiet)) == data


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shallow_clones_have_one_commit_and_can_be_deepened(
    busy: tuple[Tenant, Json], home: Path, protocol: int
) -> None:
    tenant, quiet = busy
    clone = cloned(tenant, home, "shallow", protocol, "--depth", "1")
    assert git(clone, "rev-list", "--count", "HEAD").strip() == "1"
    assert shown(clone, snapshot_path(quiet)).endswith("}\n")
    # Git reads HEAD and main one after the other: with a save between, the clone has the boundaries of both.
    boundaries = (clone / ".git" / "shallow").read_text().split()
    run_git(clone, "fetch", "-q", "--deepen", "2")
    commits = git(clone, "rev-list", "HEAD").split()
    assert len(commits) == max(commits.index(boundary) for boundary in boundaries) + 3
    run_git(clone, "fetch", "-q", "--unshallow")
    assert len(git(clone, "log", "--format=%H", "--", snapshot_path(quiet)).split()) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_clones_without_blobs_fetch_them_when_they_need_them(
    busy: tuple[Tenant, Json], home: Path, protocol: int
) -> None:
    tenant, quiet = busy
    clone = cloned(tenant, home, "partial", protocol, "--filter=blob:none", "--no-checkout")
    missing = git(clone, "rev-list", "--objects", "--all", "--missing=print").splitlines()
    assert sum(line.startswith("?") for line in missing) > 0
    history = git(clone, "log", "-p", "--format=%s", "--", snapshot_path(quiet))
    assert '+    "n": 2' in history
    run_git(clone, "checkout", "-q", "main")
    assert (clone / snapshot_path(quiet)).read_text() == shown(clone, snapshot_path(quiet))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_clone_of_published_has_the_published_versions_alone(
    busy: tuple[Tenant, Json], home: Path, protocol: int
) -> None:
    tenant, quiet = busy
    clone = cloned(tenant, home, "published", protocol, "-b", "published", "--single-branch")
    assert git(clone, "branch", "--show-current").strip() == "published"
    files = git(clone, "ls-files").splitlines()
    assert snapshot_path(quiet) in files
    assert {path.split("/")[0] for path in files} == {"workflows"}
    published = tenant.vera.get(f"{tenant.at(quiet)}/versions/published/data").text
    assert (clone / snapshot_path(quiet)).read_text() == published
    run_git(clone, "pull", "-q", "--ff-only")
    assert "Annals-Published: " in git(clone, "log", "-1", "--format=%B")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_log_of_a_path_tells_a_resources_story(
    busy: tuple[Tenant, Json], home: Path, protocol: int
) -> None:
    tenant, quiet = busy
    clone = cloned(tenant, home, "story", protocol)
    story = git(clone, "log", "-p", "--reverse", "--format=%H", "--", snapshot_path(quiet))
    versions = ok(tenant.vera.get(f"{tenant.at(quiet)}/versions"))["items"]
    commits = [line for line in story.splitlines() if len(line) == 40 and " " not in line]
    assert commits == [version["git_commit_hash"] for version in versions][::-1]
    assert '-    "n": 1\n+    "n": 2' in story


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_shallow_clone_may_be_limited_by_a_time_or_a_branch(
    tenant: Tenant, home: Path, protocol: int
) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2}, publish=True)
    tenant.save(workflow, {"n": 3})
    clone = cloned(tenant, home, "since", protocol, "--shallow-since=2020-01-01")
    assert git(clone, "rev-list", "HEAD") == tenant.git("rev-list", "main")
    clone = cloned(tenant, home, "without", protocol, "--shallow-exclude=published", "--single-branch")
    assert git(clone, "rev-parse", "HEAD") == tenant.git("rev-parse", "main")
    assert git(clone, "fsck", "--strict") == ""
    head = tenant.git("rev-parse", "main~1").strip()
    run_git(clone, "fetch", "-q", "--depth", "1", "origin", head)
    assert git(clone, "show", f"FETCH_HEAD:{snapshot_path(workflow)}") == tenant.git(
        "show", f"{head}:{snapshot_path(workflow)}"
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_may_wait_for_leave_to_send_and_send_in_chunks(
    tenant: Tenant, home: Path, protocol: int
) -> None:
    workflow = tenant.workflow()
    for number in range(30):
        tenant.save(workflow, {"n": number}, tag=f"v1.{number}")
    # The wants of 30 tags are more than git sends uncompressed, and more than it has room for here.
    # https://github.com/preloopdev/preloop/issues/275
    options = ["-c", "http.extraHeader=Expect: 100-continue"]
    options += ["-c", "http.postBuffer=1024"] if protocol < 2 else []
    run_git(home, *options, "init", "-q", "clone")
    url = tenant.clone_url(tenant.vera)
    run_git(
        home / "clone", *options, "-c", f"protocol.version={protocol}", "fetch", "-q", url, "+refs/*:refs/x/*"
    )
    assert len(git(home / "clone", "for-each-ref", "refs/x/tags").splitlines()) == 30


# Libgit2 has a client of its own. https://github.com/go-git/go-git/issues/2011
def test_a_clone_by_another_client_than_git_is_whole_or_shallow(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2}, publish=True, tag="v2")
    url, _, address = tenant.clone_url(tenant.vera).rpartition("@")
    key, address = url.rpartition(":")[2], f"{url.partition('//')[0]}//{address}"
    callbacks = pygit2.RemoteCallbacks(credentials=pygit2.UserPass("git", key))
    whole = pygit2.clone_repository(address, str(home / "whole"), callbacks=callbacks)
    assert [str(commit.id) for commit in whole.walk(whole.head.target)] == (
        tenant.git("rev-list", "main").split()
    )
    shallow = pygit2.clone_repository(address, str(home / "shallow"), callbacks=callbacks, depth=1)
    assert [str(commit.id) for commit in shallow.walk(shallow.head.target)] == [tenant.main()]
    tenant.save(workflow, {"n": 3})
    whole.remotes["origin"].fetch(callbacks=callbacks)
    assert str(whole.references["refs/remotes/origin/main"].target) == tenant.main()
    assert git(home / "whole", "fsck", "--strict") == ""
    assert git(home / "shallow", "fsck", "--strict") == ""
