"""Ids of the rows of one batch."""

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from service.domain.ids import BatchIds, minted_at


def test_ids_of_a_batch_ascend_and_no_other_batch_lies_among_them() -> None:
    batches = [BatchIds() for _ in range(200)]
    # All batches make their ids in turns, many of them in one millisecond.
    turns = [[batch.mint() for batch in batches] for _ in range(50)]
    ranges = sorted((made[0], made[-1], made) for made in map(list, zip(*turns, strict=True)))
    assert all(made == sorted(made) and len(set(made)) == 50 for _, _, made in ranges)
    assert all(last < first for (_, last, _), (first, _, _) in pairwise(ranges))


def test_an_id_of_a_batch_is_a_uuid7_of_now() -> None:
    made = BatchIds().mint()
    at = minted_at(made)
    assert made.version == 7
    assert at is not None
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=60)


def test_parts_of_a_batch_share_its_range_in_other_processes_as_well() -> None:
    ids = BatchIds()
    first = ids.mint()
    part = pickle.loads(pickle.dumps(ids.after(1_000)))  # noqa: S301 - written just now
    assert (part.mint().int - first.int, ids.mint().int - first.int) == (1_000, 1)
