"""Clones and fetches by the real git, through the real server."""

import gzip
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitstore.serve.negotiation import MAX_REQUEST_BYTES
from tests.support.api import Caller, Json, Tenant, git, ok, refused, run_git, snapshot_path
from tests.support.pkt_lines import FLUSH, line, upload_pack


def audited(tenant: Tenant) -> list[tuple[str, str]]:
    """The served clones and fetches in the audit log, oldest first, with their users."""
    return tenant.server.database.rows(
        "SELECT action, username FROM audit_logs WHERE subscription_id = %s AND resource_type = 'repository'"
        " AND status = 'success' ORDER BY created_at",
        tenant.subscription_id,
    )


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_clone_holds_every_live_resource(tenant: Tenant, home: Path, protocol: int) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    saved = tenant.save(workflow, {"n": 2}, by=tenant.ben)
    clone = home / "clone"
    run_git(
        *(home, "-c", f"protocol.version={protocol}", "clone", "-q"),
        *(tenant.clone_url(tenant.vera), str(clone)),
    )
    assert git(clone, "rev-parse", "HEAD").strip() == saved["git_commit_hash"]
    assert git(clone, "rev-parse", "--abbrev-ref", "HEAD").strip() == "main"
    assert git(clone, "fsck", "--strict", "--full") == ""
    assert len(git(clone, "ls-files").splitlines()) == 4
    assert json.loads((clone / snapshot_path(workflow)).read_text())["definition"] == {"n": 2}
    assert git(clone, "status", "--porcelain") == ""
    assert audited(tenant) == [("CLONE", "vera")]


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_clone_before_the_first_snapshot_is_of_an_empty_repository(
    tenant: Tenant, home: Path, protocol: int
) -> None:
    url = tenant.clone_url(tenant.vera)
    done = run_git(home, "-c", f"protocol.version={protocol}", "clone", url, "clone")
    assert b"empty repository" in done.stderr
    assert git(home / "clone", "for-each-ref") == ""
    tenant.make("workspaces")
    run_git(home / "clone", "pull", "-q", "origin", "main")
    assert git(home / "clone", "rev-parse", "HEAD").strip() == tenant.main()


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_fetch_brings_what_was_saved_since(tenant: Tenant, home: Path, protocol: int) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    clone = tenant.clone(home / "clone", tenant.ben)
    saved = tenant.save(workflow, {"n": 2})
    run_git(clone, "-c", f"protocol.version={protocol}", "fetch", "-q")
    assert git(clone, "rev-parse", "origin/main").strip() == saved["git_commit_hash"]
    run_git(clone, "merge", "-q", "--ff-only", "origin/main")
    run_git(clone, "fetch", "-q")
    assert audited(tenant) == [("CLONE", "ben"), ("FETCH", "ben")]


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_shallow_clone_has_one_commit_and_can_be_deepened(
    tenant: Tenant, home: Path, protocol: int
) -> None:
    workflow = tenant.workflow()
    for number in range(4):
        tenant.save(workflow, {"n": number})
    version = ("-c", f"protocol.version={protocol}")
    clone = home / "clone"
    run_git(home, *version, "clone", "-q", "--depth", "1", tenant.clone_url(tenant.ana), str(clone))
    assert git(clone, "rev-list", "--count", "HEAD").strip() == "1"
    run_git(clone, *version, "fetch", "-q", "--depth", "3")
    assert git(clone, "rev-list", "--count", "origin/main").strip() == "3"
    run_git(clone, *version, "fetch", "-q", "--unshallow")
    assert git(clone, "rev-list", "--count", "origin/main").strip() == "8"


def test_a_partial_clone_fetches_blobs_when_it_needs_them(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    first = tenant.main()
    tenant.save(workflow, {"n": 2})
    clone = tenant.clone(home / "clone", None, "--filter=blob:none")
    shown = git(clone, "show", f"{first}:{snapshot_path(workflow)}")
    assert json.loads(shown)["definition"] == {"n": 1}


def test_the_history_of_a_path_is_that_of_the_resource(tenant: Tenant, home: Path) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    for number in range(3):
        tenant.save(one, {"n": number})
        tenant.save(other, {"n": number})
    clone = tenant.clone(home / "clone")
    for workflow in (one, other):
        logged = git(clone, "log", "--format=%H", "main", "--", snapshot_path(workflow)).split()
        listed = tenant.ana.pages(f"{tenant.at(workflow)}/versions")
        assert logged == [version["git_commit_hash"] for version in listed]


def attempt(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a git that is expected to fail."""
    done = run_git(home, *arguments, check=False)
    assert done.returncode != 0
    return done


@pytest.mark.parametrize("key", ["wrong", ""])
def test_a_wrong_key_ends_git_with_an_authentication_failure(tenant: Tenant, home: Path, key: str) -> None:
    url = tenant.clone_url(Caller(tenant.server, key))
    said = attempt(home, "clone", url, "clone").stderr
    assert b"remote: The API key is not known here." in said
    assert b"Authentication failed" in said


def test_anothers_repository_is_not_found(tenant: Tenant, stranger: Tenant, home: Path) -> None:
    done = attempt(home, "clone", tenant.clone_url(stranger.ana), "clone")
    assert b"remote: There is no such subscription for this key." in done.stderr
    assert b"not found" in done.stderr
    assert audited(tenant) == []


def test_a_push_is_refused(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow()
    clone = tenant.clone(home / "clone")
    (clone / snapshot_path(workflow)).write_text("{}\n")
    run_git(clone, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qam", "x")
    head = tenant.main()
    said = attempt(clone, "push", "origin", "main").stderr
    assert b"remote: Annals takes no pushes: change resources through the API." in said
    assert b"403" in said
    assert tenant.main() == head


def info_refs(tenant: Tenant) -> str:
    return f"/git/{tenant.subscription_id}.git/info/refs"


def test_the_operators_key_clones_nothing(tenant: Tenant) -> None:
    path = f"{info_refs(tenant)}?service=git-upload-pack"
    refused(tenant.server.operator.get(path), 403, "forbidden")


def test_a_push_is_told_where_to_turn(tenant: Tenant) -> None:
    problem = refused(tenant.ana.get(f"{info_refs(tenant)}?service=git-receive-pack"), 403, "forbidden")
    assert "API" in problem["detail"]


@pytest.mark.parametrize("query", ["", "?service=", "?service=git-upload-archive", "?service=%00"])
def test_only_the_smart_protocol_is_spoken(tenant: Tenant, query: str) -> None:
    refused(tenant.ana.get(info_refs(tenant) + query), 404, "path_not_found")


def test_the_advertisement_is_not_cached(tenant: Tenant) -> None:
    response = tenant.ana.get(f"{info_refs(tenant)}?service=git-upload-pack")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-git-upload-pack-advertisement"
    assert "no-cache" in response.headers["cache-control"]
    assert response.content.startswith(b"001e# service=git-upload-pack\n")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_request_may_be_compressed(tenant: Tenant, compressed: bool) -> None:
    tenant.workflow()
    body = line(f"want {tenant.main()}\n") + FLUSH + line("done\n")
    headers = {"content-type": "application/x-git-upload-pack-request"}
    if compressed:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    response = tenant.ana.post(upload_pack(tenant), content=body, headers=headers)
    assert response.status_code == 200
    assert response.content.startswith(b"0008NAK\nPACK")


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"0003", b"ffff", b"0009want\n", b"zzzz", b"0032want " + b"0" * 40 + b"\n0000", FLUSH],
)
def test_a_request_that_is_none_is_4xx_or_gits_own_answer(tenant: Tenant, body: bytes) -> None:
    tenant.workflow()
    response = tenant.ana.post(upload_pack(tenant), content=body)
    assert response.status_code in (200, 400), response.text
    assert audited(tenant) == [] or b"want" in body


def test_a_request_that_is_no_gzip_is_400(tenant: Tenant) -> None:
    for body in (b"no gzip", gzip.compress(b"0000" * 100)[:-9] + b"x" * 30):
        response = tenant.ana.post(upload_pack(tenant), content=body, headers={"content-encoding": "gzip"})
        assert response.status_code == 400, response.text


def test_a_request_that_inflates_past_the_limit_is_413(tenant: Tenant) -> None:
    body = gzip.compress(b"0" * (64 * 1024 * 1024))
    response = tenant.ana.post(upload_pack(tenant), content=body, headers={"content-encoding": "gzip"})
    refused(response, 413, "body_too_large")


@pytest.mark.parametrize("body", [b"0004" * (2 << 20), b"0000" * (2 << 20)], ids=["empty lines", "markers"])
def test_a_small_request_of_millions_of_lines_is_refused(tenant: Tenant, body: bytes) -> None:
    compressed = gzip.compress(body, 9)
    response = tenant.vera.post(upload_pack(tenant), content=compressed, headers={"content-encoding": "gzip"})
    assert response.status_code in (400, 413), response.text


def test_what_follows_a_gzip_stream_is_refused_as_it_comes(tenant: Tenant) -> None:
    def endless() -> Iterator[bytes]:
        yield gzip.compress(FLUSH)
        for _ in range(1_000):
            yield b"x" * 2**16

    response = tenant.ana.post(upload_pack(tenant), content=endless(), headers={"content-encoding": "gzip"})
    assert response.status_code == 400, response.text


def test_a_request_that_is_too_large_is_413_however_it_is_sent(tenant: Tenant) -> None:
    body = line(f"want {'1' * 40}\n") * (MAX_REQUEST_BYTES // 50 + 1)
    for content in (body, (body[at : at + 2**20] for at in range(0, len(body), 2**20))):
        refused(tenant.ana.post(upload_pack(tenant), content=content), 413, "body_too_large")


def test_a_want_that_is_not_there_is_told_by_git(tenant: Tenant) -> None:
    tenant.workflow()
    body = line(f"want {'1' * 40}\n") + FLUSH + line("done\n")
    response = tenant.ana.post(upload_pack(tenant), content=body)
    assert response.status_code < 500 or response.status_code == 503


def test_a_clone_that_is_broken_off_leaves_no_pipe_and_no_process(tenant: Tenant) -> None:
    # More than sockets and pipes hold, so that git is still writing.
    for number in range(12):
        tenant.workflow(name=f"large {number}", definition={"noise": os.urandom(3_500_000).hex()})
    body = line(f"want {tenant.main()}\n") + FLUSH + line("done\n")
    headers = {"authorization": f"Bearer {tenant.ana.key}"}

    def break_off() -> None:
        with tenant.server.http.stream("POST", upload_pack(tenant), content=body, headers=headers) as answer:
            assert answer.status_code == 200
            chunks = answer.iter_bytes()
            assert next(chunks)
            assert running(tenant.repository)

    def settled() -> int:
        """Count the descriptors once no git runs and their number is stable."""
        last = -1
        for _ in range(200):
            time.sleep(0.1)
            now = len(list(Path("/proc/self/fd").iterdir()))
            if now == last and not running(tenant.repository):
                return now
            last = now
        raise AssertionError("a git still runs")

    break_off()
    before = settled()
    for _ in range(3):
        break_off()
    # The server is a thread of this process.
    assert settled() == before


def running(repository: Path) -> bool:
    """Check whether a git runs in the repository."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "cwd").readlink() == repository:
                return True
            if str(repository).encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
    return False


def test_the_audit_of_a_clone_says_what_was_wanted(tenant: Tenant, home: Path) -> None:
    tenant.workflow()
    tenant.clone(home / "clone", tenant.ben)
    [event] = found(tenant, action="CLONE")
    about = event["new_values"]
    assert about["wants"] > 0
    assert (about["haves"], about["protocol"]) == (0, "version=2")
    assert event["user_agent"].startswith("git/")
    assert event["api_endpoint"] == upload_pack(tenant)
    assert event["http_method"] == "POST"


def found(tenant: Tenant, **query: str) -> list[Json]:
    """Events of the audit log."""
    return tenant.aud.pages(f"{tenant.path}/audit-logs", **query)


def test_clones_are_right_while_others_write(tenant: Tenant, home: Path) -> None:
    workflow = tenant.workflow()
    clones = []
    for number in range(4):
        url = tenant.clone_url(tenant.vera)
        clones.append(subprocess.Popen(["git", "clone", "-q", url, str(home / str(number))]))
        for turn in range(5):
            tenant.save(workflow, {"n": number, "turn": turn})
    assert [clone.wait(60) for clone in clones] == [0] * 4
    for number in range(4):
        assert git(home / str(number), "fsck", "--strict", "--full") == ""


# -- clones after something was deleted for good -----------------------------------------------------


def close_clones(tenant: Tenant) -> None:
    ok(tenant.ana.patch(tenant.path, {"clone_after_purge": "admin"}))


def purge(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.remove(workflow)
    tenant.remove(workflow, permanent=True)


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
@pytest.mark.sampled(3)
def test_once_something_was_deleted_for_good_only_admins_clone_if_so_set(
    tenant: Tenant, home: Path, name: str, protocol: str
) -> None:
    tenant.workflow()
    close_clones(tenant)
    caller, options = tenant.caller(name), ("-c", f"protocol.version={protocol}")
    tenant.clone(home / "before", caller)
    purge(tenant)
    url = tenant.clone_url(caller)
    for arguments in (("clone", url, "after"), ("ls-remote", url), ("-C", "before", "fetch")):
        said = attempt(home, *options, *arguments).stderr
        assert b"remote: Something was deleted for good here" in said
        assert b"403" in said
    tenant.clone(home / "admin", tenant.ana)
    assert ok(caller.get(f"{tenant.path}/workflows"))["items"]


def test_the_negotiation_is_refused_as_well(tenant: Tenant) -> None:
    tenant.workflow()
    close_clones(tenant)
    purge(tenant)
    body = b"0014command=ls-refs\n0000"
    headers = {"content-type": "application/x-git-upload-pack-request", "git-protocol": "version=2"}
    path = f"/git/{tenant.subscription_id}.git/git-upload-pack"
    assert tenant.vera.post(path, content=body, headers=headers).status_code == 403
    assert tenant.ana.post(path, content=body, headers=headers).status_code == 200


def test_everybody_clones_after_a_deletion_for_good_unless_set_otherwise(tenant: Tenant, home: Path) -> None:
    assert ok(tenant.ana.get(tenant.path))["clone_after_purge"] == "everybody"
    tenant.workflow()
    purge(tenant)
    tenant.clone(home / "clone", tenant.vera)
    close_clones(tenant)
    attempt(home, "clone", tenant.clone_url(tenant.vera), "another")
    ok(tenant.ana.patch(tenant.path, {"clone_after_purge": "everybody"}))
    tenant.clone(home / "again", tenant.vera)


def test_who_may_clone_is_one_of_two_and_set_by_an_admin(tenant: Tenant) -> None:
    for value in ("nobody", None, True):
        refused(tenant.ana.patch(tenant.path, {"clone_after_purge": value}), 422, "invalid")
    refused(tenant.ben.patch(tenant.path, {"clone_after_purge": "admin"}), 403, "forbidden")
    close_clones(tenant)
    path = f"{tenant.path}/audit-logs"
    [event] = tenant.aud.pages(path, action="UPDATE", resource_type="subscription", status="success")
    assert event["new_values"]["clone_after_purge"] == "admin"
