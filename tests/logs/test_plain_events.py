"""Events whose whole text has no sign of a secret are stored as they are, without a search of each text."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from service.audit import events
from service.http.schemas.execution_logs import NewExecutionEvent
from service.usecases.event_batches import Arrival
from service.usecases.execution_logs import row_of
from tests.support.masking_corpus import Entry, entries
from tests.support.streams import arrival

CORPUS = [
    entry
    for folder in ("mask", "leave", "independent/mask", "independent/leave")
    for entry in entries(folder)
]


def event_with(entry: Entry) -> dict[str, Any]:
    """An event that has a text of the corpus as its message, and a document of the corpus in its details."""
    return {
        "execution_id": str(uuid4()),
        "execution_type": "job",
        "log_level": "INFO",
        "log_message": entry.text,
        "log_details": {"seen": entry.value},
    }


def stored(at: Arrival, event: dict[str, Any]) -> dict[str, Any]:
    row = vars(row_of(at, NewExecutionEvent.model_validate(event).reported()))
    return {name: value for name, value in row.items() if name != "log_id"}


def test_no_event_that_is_taken_as_plain_is_stored_otherwise_with_masking() -> None:
    at = arrival()
    plain = [event for event in map(event_with, CORPUS) if events.is_plain(orjson.dumps(event))]
    assert len(plain) >= 25
    for event in plain:
        assert stored(at, event) == stored(replace(at, is_plain=True), event)


def test_no_event_with_a_secret_of_the_corpus_that_masking_finds_is_plain() -> None:
    at = arrival()
    with_secrets = [event for entry in CORPUS if entry.secrets and (event := event_with(entry))]
    found = [event for event in with_secrets if stored(at, event)["log_details"] != event["log_details"]]
    assert len(found) > 500
    assert not [event for event in found if events.is_plain(orjson.dumps(event))]


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"log_message": "\u0070assword=hunter2-Quartz9"}',
        b'{"log_message": "%s"}' % (b"a" * events.MAX_TEXT_BYTES),
        '{"log_message": "ｐａｓｓｗｏｒｄ=hunter2-Quartz9"}'.encode(),
    ],
    ids=["an escape", "a long text", "wide letters"],
)
def test_a_text_that_could_hide_a_secret_or_is_cut_is_not_plain(raw: bytes) -> None:
    assert not events.is_plain(raw)
