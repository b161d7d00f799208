"""Masking is measured on a second corpus, whose author had not read the signs: what it misses, and takes."""

import pytest

from service.masking.values import masked
from tests.support.masking_corpus import Score, entries, judged

MASK, LEAVE = entries("independent/mask"), entries("independent/leave")
BAR = 0.98


@pytest.fixture(scope="module")
def score() -> Score:
    return judged((entry, masked(entry.value)) for entry in (*MASK, *LEAVE))


def test_the_second_corpus_has_no_text_of_the_first() -> None:
    first = {entry.text for folder in ("mask", "leave") for entry in entries(folder)}
    second = [entry.text for entry in (*MASK, *LEAVE)]
    assert len(MASK) >= 150
    assert len(LEAVE) >= 150
    assert len({*second} - first) == len(second)


def test_each_text_with_a_secret_has_one_and_no_other_text() -> None:
    assert all(entry.secrets for entry in MASK)
    assert not any(entry.secrets for entry in LEAVE)


def test_secrets_of_services_that_the_signs_were_not_written_for_are_masked(
    score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nmasking, second corpus: {score}", end="")  # noqa: T201 - the figures are the result
    assert score.recall >= BAR, score.faults


def test_texts_of_these_services_without_a_secret_are_left(score: Score) -> None:
    assert score.precision >= BAR, score.faults
