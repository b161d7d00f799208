"""Masking of the events of other systems, in both directions: what it misses, and what it takes wrongly."""

import pytest

from service.masking.values import masked
from tests.support.masking_corpus import judged
from tests.support.senders import SENDERS

ENTRIES = [entry for sender in SENDERS.values() for entry in sender.entries()]
# In a Secret of Kubernetes, all of `data` is masked: the name of the user, too.
TAKEN = ["taken in kubernetes_audit 17: bG9hZGVy"]


def test_secrets_of_senders_are_masked_and_hardly_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    score = judged((entry, masked(entry.value)) for entry in ENTRIES)
    with capsys.disabled():
        print(f"\nmasking of {len(ENTRIES)} events of {len(SENDERS)} senders: {score}", end="")  # noqa: T201
    assert score.masked >= 50
    assert list(score.faults) == TAKEN
