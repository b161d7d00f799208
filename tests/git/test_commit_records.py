"""Messages read back: `read` finds the values given to `compose`, and no other message is a record."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitstore import commit_records
from gitstore.commit_messages import DeletionLine, VersionLine, compose
from gitstore.identity import Identity

ID = "0190a1b2-0000-7000-8000-00000000000{}"
ANN = Identity(ID.format("a"), "ann")
NOON = datetime(2026, 1, 2, 12, 0, 0, 4321, tzinfo=UTC)
LINE = VersionLine("workflows", ID.format("b"), 7, ID.format("c"))
PLAIN = f"subject\n\nAnnals-Actor: {ANN.user_id} ann\nAnnals-Time: 2026-01-02T12:00:00.004321Z\n"

words = st.text(max_size=40)
lines = st.lists(
    st.builds(
        VersionLine,
        collection=st.sampled_from(["workflows", "folders"]),
        resource_id=st.uuids().map(str),
        number=st.integers(1, 10**8),
        version_id=st.uuids().map(str),
    ),
    max_size=3,
)
times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = words | st.text(alphabet='"\\\n\r\t\x85\u2028 \ud800a:', max_size=20)
deletions = st.builds(
    DeletionLine, deletion_id=st.uuids().map(str), until=st.none() | times, reason=st.none() | texts
)


@settings(max_examples=300, deadline=None)
@given(
    body=st.none() | words | st.just("Annals-Version: forged\n\nAnnals-Time: forged"),
    versions=lines,
    published=lines,
    unpublished=lines,
    deletion=st.none() | deletions,
    restored=st.none() | st.uuids().map(str),
    subject=st.just("subject") | st.just(f"folders/{ID.format('d')}: deleted — a name"),
    username=st.text(min_size=1, max_size=20),
    request_id=st.none() | words,
    time=times,
    description=st.none() | texts,
)
def test_what_was_composed_is_read_back(
    body: str | None,
    versions: list[VersionLine],
    published: list[VersionLine],
    unpublished: list[VersionLine],
    deletion: DeletionLine | None,
    restored: str | None,
    subject: str,
    username: str,
    request_id: str | None,
    time: datetime,
    description: str | None,
) -> None:
    actor = Identity(ANN.user_id, username)
    message = compose(
        subject=subject,
        body=body,
        versions=versions,
        published=published,
        unpublished=unpublished,
        deletion=deletion,
        restored=restored,
        actor=actor,
        request_id=request_id,
        time=time,
        description=description,
    )
    # As a commit holds it: bytes in UTF-8.
    found = commit_records.read(message.encode().decode())
    assert found == commit_records.CommitRecord(
        versions=tuple(versions),
        published=tuple(published),
        unpublished=tuple(unpublished),
        deletion=deletion,
        restored=restored,
        about=None if subject == "subject" else ("folders", ID.format("d")),
        actor=actor,
        request_id=request_id,
        time=time,
        description=description,
    )


def test_a_plain_record_is_read() -> None:
    assert commit_records.read(PLAIN).time == NOON


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("a commit from outside\n", "no trailer Annals-Actor"),
        ("merge\n\nSigned-off-by: x\n", "Signed-off-by is none that this version"),
        (PLAIN + f"Annals-Deletion: {ANN.user_id} soft never\n", "does not match format"),
        (PLAIN + f"Annals-Deletion: {ANN.user_id} soft -\n", "does not match format"),
        (PLAIN + f"Annals-Deletion: {ANN.user_id} permanent 2026-01-02T12:00:00.0Z\n", "is no deletion"),
        (PLAIN + f"Annals-Deletion: {ANN.user_id} permanent - \n", "is no deletion"),
        (PLAIN + f'Annals-Deletion: {ANN.user_id} permanent - "open\n', "Unterminated string"),
        (PLAIN + "Annals-Deletion: it permanent -\n", "is no deletion"),
        (PLAIN + f"Annals-Deletion: {ANN.user_id} permanent -\n" * 2, "more than one trailer Annals-Del"),
        (PLAIN + "Annals-Restore: it\n", "names no deletion"),
        (PLAIN + "Annals-Time: 2026-01-02T12:00:00.004321Z\n", "more than one trailer Annals-Time"),
        (PLAIN.replace("2026-01-02", "yesterday"), "does not match format"),
        (PLAIN.replace(ANN.user_id, "ann"), "names no actor"),
        (PLAIN + "Annals-Version: workflows/x@1 y\n", "names no version"),
        (PLAIN + str(LINE).replace("@7", "@0").join(("Annals-Version: ", "\n")), "names no version"),
        (PLAIN + 'Annals-Description: "open\n', "Unterminated string"),
    ],
)
def test_what_annals_did_not_write_is_no_record(message: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        commit_records.read(message)
