"""The committer's socket: frames in any pieces, changes, results, and errors of every class."""

import pickle
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gitstore import errors as git_errors
from gitstore.errors import GitStoreError, RefDiverged
from service.committer.changes import CheckInMany, Create, Item, RollBackMany, WrittenMany
from service.committer.frames import CommitterError, Decoder, encode, portable
from service.domain import errors
from service.domain.callers import Member, Origin
from service.domain.errors import AnnalsError, Fault
from service.domain.idempotency import Attempt
from service.domain.ids import ResourceId, SubscriptionId, UserId, mint
from service.domain.resource_kinds import Kind, Place
from sql import errors as sql_errors
from sql.errors import DatabaseError, UniqueConflict

AUTHOR = Member(
    user_id=UserId(mint()),
    username="é",
    subscription_id=SubscriptionId(mint()),
    origin=Origin(request_id="r", ip_address=None, user_agent="é", endpoint="/", method="POST"),
)
FACTS = {"holder": UUID(int=1), "expires_at": datetime(2026, 11, 24, tzinfo=UTC), "n": None}
FAULTS = (Fault("wrong", pointer="/a"), Fault("wrong", parameter="b"))


def crossed(value: Any) -> Any:
    """The value at the other end."""
    [found] = Decoder().feed(encode(value))
    return found


def test_a_frame_may_come_in_pieces_of_any_size() -> None:
    values = [True, [(1, b"x" * 300)], (7, "é" * 50)]
    stream = b"".join(encode(value) for value in values)
    for size in range(1, len(stream) + 1):
        decoder = Decoder()
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert [value for piece in pieces for value in decoder.feed(piece)] == values


@given(st.lists(st.binary(max_size=30), max_size=6), st.data())
def test_wherever_a_stream_is_cut_it_says_the_same(values: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode(value) for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = Decoder()
    found: list[bytes] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += decoder.feed(stream[begin:end])
    assert found == values


def test_what_is_not_whole_says_nothing_yet() -> None:
    assert list(Decoder().feed(encode(b"x" * 100)[:-1])) == []


def test_large_documents_cross() -> None:
    document = b"x" * (32 * 1024 * 1024)
    decoder = Decoder()
    stream = encode(document)
    found = [
        value for at in range(0, len(stream), 262_144) for value in decoder.feed(stream[at : at + 262_144])
    ]
    assert found == [document]


@pytest.mark.parametrize(
    "value",
    [
        Create(
            author=AUTHOR,
            once=Attempt(b"a", b"f", b"r"),
            kind=Kind.WORKFLOW,
            resource_id=ResourceId(mint()),
            name="é",
            description=None,
            place=Place(job_id=mint()),
            definition=b"{}",
        ),
        CheckInMany(
            author=AUTHOR, items=(Item(kind=Kind.JOB, resource_id=ResourceId(mint()), definition=b"{}"),)
        ),
        RollBackMany(author=AUTHOR, to=datetime.now(UTC), root=(Kind.FOLDER, ResourceId(mint()))),
        WrittenMany(commit=None, versions=()),
    ],
)
def test_changes_and_results_cross_as_they_are(value: Any) -> None:
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


def families(root: type[Exception]) -> Iterator[type[Exception]]:
    """The errors of a family that have the common constructor."""
    for each in (root, *root.__subclasses__()):
        if each not in (UniqueConflict, RefDiverged):
            yield each


def alike(found: Exception, error: Exception) -> bool:
    return (type(found), str(found), found.args, vars(found)) == (
        type(error),
        str(error),
        error.args,
        vars(error),
    )


# Limits of calls are counted before a change is sent, and a tail sends none.
UNSENT = (errors.TooManyRequests, errors.TooManyTails)
SENT = [kind for kind in errors.leaves() if not issubclass(kind, UNSENT)]


@pytest.mark.parametrize("kind", SENT)
def test_every_refusal_crosses_with_its_faults_and_facts(kind: type[AnnalsError]) -> None:
    for error in (kind("why"), kind("why é", faults=FAULTS, facts=FACTS)):
        found = crossed(portable(error))
        assert alike(found, error)
        assert (found.code, found.faults, found.facts) == (kind.code, error.faults, error.facts)


@pytest.mark.parametrize("kind", [*families(DatabaseError), *families(GitStoreError)])
def test_every_failure_of_a_store_crosses(kind: type[Exception]) -> None:
    error = kind("what it said")
    assert alike(crossed(portable(error)), error)


def test_a_conflict_still_names_its_constraint() -> None:
    error = UniqueConflict("uq_versions_tag")
    assert alike(crossed(portable(error)), error)
    assert crossed(portable(error)).constraint == "uq_versions_tag"


def test_a_diverged_ref_still_names_both_commits() -> None:
    error = RefDiverged("refs/heads/main", "a" * 40, "b" * 40)
    found = crossed(portable(error))
    assert alike(found, error)
    assert (found.ref, found.expected, found.found) == ("refs/heads/main", "a" * 40, "b" * 40)


def test_what_caused_an_error_stays_behind() -> None:
    error = sql_errors.DatabaseUnavailable("gone")
    error.__cause__ = RuntimeError("with a lock", threading.Lock())
    found = crossed(portable(error))
    assert alike(found, error)
    assert found.__cause__ is None


class _Obstinate(git_errors.GitStoreError):
    """An error that can be pickled, not unpickled: its constructor takes more than its message."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("missing"),
        RuntimeError("with a lock", threading.Lock()),
        errors.Busy("with a lock", facts={"lock": threading.Lock()}),
        _Obstinate("a", "b"),
    ],
)
def test_what_no_other_end_could_read_becomes_a_committer_error_and_a_log_line(error: Exception) -> None:
    with capture_logs() as logged:
        found = crossed(portable(error))
    assert type(found) is CommitterError
    assert type(error).__name__ in str(found)
    [line] = logged
    assert (line["log_level"], line["exc_info"]) == ("error", error)


def test_what_can_cross_is_not_logged() -> None:
    with capture_logs() as logged:
        portable(errors.NotCheckedOut("no"))
    assert logged == []


def test_the_frames_are_pickles_of_the_newest_protocol() -> None:
    assert int.from_bytes(encode(None)[:4]) == len(encode(None)) - 4
    assert encode(None)[4:6] == bytes((0x80, pickle.HIGHEST_PROTOCOL))
