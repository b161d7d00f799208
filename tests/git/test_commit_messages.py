"""Commit messages: the real git reads our trailers, whatever people wrote."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitstore.commit_messages import VersionLine, compose, decode_description, parse, version_subject
from gitstore.identity import Identity

ANN = Identity("0190a1b2-0000-7000-8000-00000000000a", "ann")
NOON = datetime(2026, 1, 2, 12, 0, 0, 4321, tzinfo=UTC)
VERSION = VersionLine(
    "workflows", "0190a1b2-0000-7000-8000-00000000000b", 7, "0190a1b2-0000-7000-8000-00000000000c"
)
SUBJECT = version_subject("workflows", VERSION.resource_id, 7, "Nightly load")
TRAILERS = [
    ("Annals-Version", f"workflows/{VERSION.resource_id}@7 {VERSION.version_id}"),
    ("Annals-Actor", f"{ANN.user_id} ann"),
    ("Annals-Request", "req-1"),
    ("Annals-Time", "2026-01-02T12:00:00.004321Z"),
]

hostile = st.lists(
    st.sampled_from(
        [
            "---",
            "--- a/file",
            "---\t",
            "Annals-Version: forged@1 x",
            "annals-actor: forged",
            "Signed-off-by: forged",
            "(cherry picked from commit 0123)",
            "# comment",
            "# ------------------------ >8 ------------------------",
            "; ------------------------ >8 ------------------------",
            "Conflicts:",
            "\tpath",
            "diff --git a b",
            " ",
            "",
            "\r",
            "text",
            "key: value",
            "trailing  ",
            "\0",
            "\ud800",
            "\u2028---",
            "\x0b---",
            "\x85Annals-Time: x",
        ]
    )
    | st.text(max_size=20),
    max_size=8,
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines)))


def message(
    body: str | None = None, *, subject: str = SUBJECT, actor: Identity = ANN, description: str | None = None
) -> str:
    return compose(
        subject=subject,
        body=body,
        versions=[VERSION],
        actor=actor,
        request_id="req-1",
        time=NOON,
        description=description,
    )


def gits_trailers(text: str, *options: str) -> list[tuple[str, str]]:
    command = ["git", *options, "interpret-trailers", "--parse"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    lines = done.stdout.decode().split("\n")[:-1]
    return [(token, value) for token, _, value in (line.partition(": ") for line in lines)]


def test_a_message_is_subject_body_and_trailers() -> None:
    assert message("Because it failed.\n\nTwice.") == (
        f"workflows/{VERSION.resource_id}: v7 — Nightly load\n"
        "\n"
        "Because it failed.\n"
        "\n"
        "Twice.\n"
        "\n"
        f"Annals-Version: workflows/{VERSION.resource_id}@7 {VERSION.version_id}\n"
        f"Annals-Actor: {ANN.user_id} ann\n"
        "Annals-Request: req-1\n"
        "Annals-Time: 2026-01-02T12:00:00.004321Z\n"
    )


@settings(max_examples=300, deadline=None)
@given(hostile)
@example("")
@example("\n \n\t\n")
@example("---\n\nAnnals-Version: forged@1 x")
def test_no_body_adds_or_hides_a_trailer(body: str) -> None:
    assert gits_trailers(message(body)) == TRAILERS


@settings(max_examples=100, deadline=None)
@given(hostile, st.sampled_from(["core.commentChar=;", "core.commentChar=-", "core.commentChar=a"]))
def test_no_body_does_so_under_another_comment_character(body: str, option: str) -> None:
    assert gits_trailers(message(body), "-c", option) == TRAILERS


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_no_name_adds_or_hides_a_trailer(name: str) -> None:
    assert gits_trailers(message(subject=version_subject("jobs", "id", 1, name))) == TRAILERS


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_parse_reads_what_git_reads(body: str) -> None:
    assert parse(message(body)) == TRAILERS


@given(hostile)
def test_no_line_of_a_body_starts_like_a_trailer_of_ours(body: str) -> None:
    starts = [line for line in message(body).split("\n") if line.lower().startswith("annals-")]
    assert len(starts) == len(TRAILERS)


@pytest.mark.parametrize("body", [None, "", " ", "\n\n", "\r\n\t \r\n", "\u2003"])
def test_a_body_of_blanks_is_no_body(body: str | None) -> None:
    assert message(body) == message()


def test_line_endings_become_lf() -> None:
    assert "one\ntwo\nthree\n" in message("one\r\ntwo\rthree")


@settings(max_examples=200, deadline=None)
@given(st.text() | hostile)
@example('"quoted"')
@example("")
@example(" padded ")
@example("two\nlines")
@example("\u2028")
@example("a\0b")
def test_a_description_comes_back_as_it_was(description: str) -> None:
    composed = message(description=description)
    trailers = gits_trailers(composed)
    assert trailers == parse(composed)
    assert decode_description(dict(trailers)["Annals-Description"]) == description


@pytest.mark.parametrize("description", ["plain", "größer 👩‍👩‍👧", "a: b", "tab\tinside", "[1]", "null"])
def test_an_ordinary_description_stands_as_it_is(description: str) -> None:
    assert ("Annals-Description", description) in parse(message(description=description))


def test_a_description_of_two_lines_is_a_json_string() -> None:
    assert ("Annals-Description", '"größer\\nals"') in parse(message(description="größer\nals"))


def test_without_a_description_there_is_no_trailer_for_it() -> None:
    assert "Annals-Description" not in dict(parse(message()))


@settings(max_examples=50, deadline=None)
@given(hostile)
def test_no_username_adds_or_hides_a_trailer(username: str) -> None:
    trailers = gits_trailers(message(actor=Identity(ANN.user_id, username)))
    assert [token for token, _ in trailers] == [token for token, _ in TRAILERS]


def test_every_version_of_a_commit_has_its_line() -> None:
    versions = [VersionLine("jobs", f"id{number}", number, f"version{number}") for number in (1, 2, 3)]
    text = compose(subject="bulk", body=None, versions=versions, actor=ANN, request_id=None, time=NOON)
    lines = [value for token, value in gits_trailers(text) if token == "Annals-Version"]
    assert lines == ["jobs/id1@1 version1", "jobs/id2@2 version2", "jobs/id3@3 version3"]


def test_the_time_is_written_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    text = compose(subject="s", body=None, versions=[], actor=ANN, request_id=None, time=there)
    assert ("Annals-Time", "2026-01-02T12:00:00.004321Z") in parse(text)


def test_a_subject_of_blanks_is_refused() -> None:
    with pytest.raises(ValueError, match="subject"):
        message(subject=" \n")


def test_a_subject_is_one_line() -> None:
    assert message(subject="one\n\ntwo\tthree").startswith("one two three\n\n")
