"""The layout of the store: paths, and the creation of repositories."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from gitstore.errors import StoreUnavailable
from gitstore.store import Store, snapshot_path

SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"

ENSURE = f"""
import sys
from pathlib import Path
from gitstore.store import Store
sys.stdin.read()
Store(Path(sys.argv[1])).ensure({SUBSCRIPTION!r})
"""


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", path, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "git"


def test_ensure_makes_a_bare_sha1_repository_on_main(root: Path) -> None:
    path = Store(root).ensure(SUBSCRIPTION)
    assert path == root / f"{SUBSCRIPTION}.git"
    assert git(path, "rev-parse", "--is-bare-repository", "--show-object-format") == "true\nsha1"
    assert git(path, "symbolic-ref", "HEAD") == "refs/heads/main"
    git(path, "fsck", "--strict")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.fsync", "all"),
        ("uploadpack.allowFilter", "true"),
        ("uploadpack.allowAnySHA1InWant", "false"),
        ("http.receivepack", "false"),
        ("receive.denyNonFastForwards", "true"),
        ("gc.auto", "0"),
    ],
)
def test_ensure_configures_the_repository(root: Path, key: str, value: str) -> None:
    path = Store(root).ensure(SUBSCRIPTION)
    assert git(path, "config", "--local", key) == value


def test_a_new_repository_has_no_hooks(root: Path) -> None:
    assert not (Store(root).ensure(SUBSCRIPTION) / "hooks").exists()


def test_ensure_leaves_an_existing_repository_alone(root: Path) -> None:
    path = Store(root).ensure(SUBSCRIPTION)
    (path / "HEAD").write_text("ref: refs/heads/other\n")
    Store(root).ensure(SUBSCRIPTION)
    assert (path / "HEAD").read_text() == "ref: refs/heads/other\n"


def test_exists_tells_whether_there_is_a_repository(root: Path) -> None:
    store = Store(root)
    before = store.exists(SUBSCRIPTION)
    store.ensure(SUBSCRIPTION)
    assert (before, store.exists(SUBSCRIPTION)) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../../etc",
        SUBSCRIPTION.upper().replace("0190A1B2", "0190A1BF"),
        SUBSCRIPTION.replace("-", ""),
    ],
)
def test_path_refuses_what_is_no_canonical_uuid(root: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"UUID|badly formed"):
        Store(root).path(text)


def test_processes_that_race_make_one_whole_repository(root: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", ENSURE, str(root)], stdin=subprocess.PIPE) for _ in range(6)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    assert [racer.wait() for racer in racers] == [0] * 6
    assert [path.name for path in root.iterdir()] == [f"{SUBSCRIPTION}.git"]
    git(Store(root).path(SUBSCRIPTION), "fsck", "--strict")


@pytest.mark.parametrize("call", ["mkdir", "fsync", "rename"])
def test_a_process_killed_while_making_it_disturbs_nobody(root: Path, call: str) -> None:
    strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when=3",
    ]
    if call == "rename":
        strace[-1] = "inject=rename:signal=KILL"
    killed = subprocess.run(
        [*strace, sys.executable, "-B", "-c", ENSURE, str(root)], check=False, stdin=subprocess.DEVNULL
    )
    assert killed.returncode != 0
    path = Store(root).ensure(SUBSCRIPTION)
    git(path, "fsck", "--strict")


def test_a_new_repository_is_synced_before_its_rename_and_its_name_after(root: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,rename"]
    subprocess.run([*strace, sys.executable, "-c", ENSURE, str(root)], check=True, stdin=subprocess.DEVNULL)
    calls = [
        line.split(" ", 1)[1].strip()
        for line in trace.read_text().splitlines()
        if "sync(" in line or "rename(" in line
    ]
    renamed = next(index for index, call in enumerate(calls) if call.startswith("rename("))
    before = "\n".join(calls[:renamed])
    for name in ("/HEAD>", "/config>", "/objects>", "/objects/pack>", "/refs>", "/refs/heads>"):
        assert name in before
    assert any(f"{root}>" in call for call in calls[renamed + 1 :])


def test_ensure_syncs_the_name_of_a_repository_that_another_process_made(root: Path, tmp_path: Path) -> None:
    Store(root).ensure(SUBSCRIPTION)
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync"]
    subprocess.run([*strace, sys.executable, "-c", ENSURE, str(root)], check=True, stdin=subprocess.DEVNULL)
    assert f"{root}>" in trace.read_text()


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        Store(tmp_path / "file").ensure(SUBSCRIPTION)


def test_a_snapshot_lies_under_two_digits_of_the_hash_of_its_id() -> None:
    digits = sha256(b"0190a1b2").hexdigest()[:2]
    assert snapshot_path("workflows", "0190a1b2") == f"workflows/{digits}/0190a1b2.json"
