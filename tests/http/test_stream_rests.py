"""Places of streams after their work: who stores nothing rests, since no quota counts it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest

from service.domain.errors import AnnalsError, Busy, Invalid
from service.domain.ids import SubscriptionId
from service.http.admission import STREAMS_ALONE, Admission, Visit

WORK_SECONDS = 0.2


def work(outcome: int | AnnalsError) -> Callable[[], int]:
    """Make work that stores so many rows, or fails."""

    def do() -> int:
        time.sleep(WORK_SECONDS)
        if isinstance(outcome, AnnalsError):
            raise outcome
        return outcome

    return do


@pytest.mark.parametrize(
    ("outcome", "rests"), [(1, False), (Busy("later"), False), (0, True), (Invalid("no", faults=[]), True)]
)
def test_a_stream_that_stores_nothing_keeps_its_place_for_as_long_again(
    outcome: int | AnnalsError, rests: bool
) -> None:
    async def places_after() -> int:
        """Return the places that are taken after the work, and wait until they are free."""
        admission, key = Admission(threads=1), SubscriptionId(uuid4())
        visit = Visit(admission)
        visit._key = key
        with suppress(AnnalsError):
            await visit.stream(work(outcome), has_stored=lambda rows: rows > 0)
        held = admission.streams.held
        async with asyncio.timeout(30):
            await admission.streams.take(key, STREAMS_ALONE)
        return held

    assert asyncio.run(places_after()) == rests
