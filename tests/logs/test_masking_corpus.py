"""Masking is measured in both directions: what it misses, and what it takes wrongly, on a corpus of ours."""

from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_line
from detect_secrets.settings import default_settings

from service.masking.commands import COMMANDS
from service.masking.tokens import TOKENS
from service.masking.values import masked
from tests.support.masking_corpus import Entry, Score, entries, is_held_out, judged

MASK, LEAVE = entries("mask"), entries("leave")
BAR = 0.99
ROOT = Path(__file__).parents[2]


def scanned(entry: Entry) -> object:
    """Remove from the text what `detect-secrets` finds in its lines."""
    text = entry.text
    for line in entry.text.splitlines():
        for found in scan_line(line):
            if found.secret_value:
                text = text.replace(found.secret_value, "[found]")
    return text if entry.secrets or text != entry.text else entry.value


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    whole = [*MASK, *LEAVE]
    held_out = [entry for entry in whole if is_held_out(entry)]
    with default_settings():
        others = judged((entry, scanned(entry)) for entry in whole)
    return {
        "masking": judged((entry, masked(entry.value)) for entry in whole),
        "masking, held out": judged((entry, masked(entry.value)) for entry in held_out),
        "detect-secrets": others,
    }


def test_the_corpus_has_at_least_three_hundred_of_each() -> None:
    assert sum(len(entry.secrets) for entry in MASK) >= 600
    assert len(LEAVE) >= 400
    labels = [entry.label for entry in (*MASK, *LEAVE)]
    assert len({entry.text for entry in (*MASK, *LEAVE)}) == len(labels)
    assert all(entry.secrets for entry in MASK)
    assert not any(entry.secrets for entry in LEAVE)


def test_the_page_names_each_provider_and_sign() -> None:
    page = (ROOT / "docs/guide/masking.md").read_text()
    for sign in (*TOKENS, *COMMANDS):
        assert f"| {sign.provider} |" in page
        shown = (" ".join(each.replace("\x1f", " ").split()).strip('"') for each in sign.sign.split("|"))
        assert all(f"`{each}`" in page for each in shown)


def test_secrets_are_masked_and_nothing_else(
    scores: dict[str, Score], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        for name, score in scores.items():
            print(f"\n{name}: {score}", end="")  # noqa: T201 - the figures are the result
    found = scores["masking"]
    assert found.recall >= BAR, found.faults
    assert found.precision >= BAR, found.faults


def test_a_scanner_of_source_code_does_worse_on_events(scores: dict[str, Score]) -> None:
    assert scores["masking"].recall > scores["detect-secrets"].recall
    assert scores["masking"].precision > scores["detect-secrets"].precision


@pytest.mark.parametrize("entry", MASK[::7], ids=lambda entry: entry.label)
def test_masking_a_masked_event_again_changes_nothing(entry: Entry) -> None:
    found = masked(entry.value)
    assert masked(found) == found
