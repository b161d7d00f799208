"""Places that keys take in turns: shares, turns, sizes, and what a caller that gives up leaves behind."""

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any

import pytest

from service.runtime import recent_keys
from service.runtime.fair_places import FairPlaces
from service.runtime.recent_keys import REMEMBERED_SECONDS


class Hands:
    """Takes places of ten, three each beside others, and notes in which order they were granted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.places = FairPlaces(10, each=3, clock=lambda: self.now)
        self.granted: list[Hashable] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def want(self, key: Hashable, count: int = 1, size: int = 1) -> None:
        """Ask for places `count` times, without waiting for them."""
        for _ in range(count):
            self.tasks.append(asyncio.create_task(self._take(key, size)))
        await asyncio.sleep(0)

    async def free(self, key: Hashable, size: int = 1) -> None:
        """Give places back, and let those run that get them."""
        self.places.release(key, size)
        await asyncio.sleep(0)

    async def _take(self, key: Hashable, size: int) -> None:
        await self.places.take(key, size)
        self.granted.append(key)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 10))


def test_a_key_alone_has_all_places_but_the_share_of_one_who_comes() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("a", 20)
        assert hands.granted == ["a"] * 7
        await hands.want("b")
        assert hands.granted[7:] == ["b"]

    run(story())


def test_beside_another_a_key_gets_no_more_than_its_share() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("a", 20)
        await hands.want("b", 5)
        assert hands.granted.count("b") == 3
        for _ in range(5):
            await hands.free("a")
        # Two are held, and one more is its share.
        assert hands.granted.count("a") == 8
        assert hands.places.held == 6

    run(story())


def test_keys_that_wait_get_free_places_in_turns() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("a", 7)
        await hands.want("b", 3)
        for key in "abcd":
            await hands.want(key, 3)
        hands.granted.clear()
        for _ in range(4):
            await hands.free("a")
        # `a` still has its share, and `b` has all of its own.
        assert hands.granted == ["c", "d", "c", "d"]

    run(story())


def test_a_key_is_alone_again_once_the_others_have_been_away() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("b")
        await hands.free("b")
        await hands.want("a", 20)
        assert hands.granted.count("a") == 3
        hands.now += REMEMBERED_SECONDS + 0.1
        await hands.free("a")
        assert hands.granted.count("a") == 3 + 5

    run(story())


def test_a_key_that_waits_is_there_however_long_it_waits() -> None:
    async def story() -> None:
        hands = Hands()
        for key in "abcd":
            await hands.want(key, 3)
        assert hands.granted.count("d") == 1
        hands.now += 100
        await hands.want("d", 1, size=3)
        await hands.free("a")
        assert hands.granted.count("d") == 2

    run(story())


def test_a_large_size_is_not_overtaken_by_small_ones() -> None:
    async def story() -> None:
        hands = Hands()
        for key in "abc":
            await hands.want(key, 3)
        await hands.want("large", size=3)
        await hands.want("small")
        await hands.free("a")
        await hands.free("b")
        assert hands.granted[9:] == ["large"]
        await hands.free("c")
        assert hands.granted[10:] == ["small"]

    run(story())


def test_a_key_that_waits_for_its_own_places_holds_up_nobody() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("a", 4)
        await hands.want("b", 4)
        assert hands.places.waiting == 1
        await hands.want("c")
        assert hands.granted[-1] == "c"

    run(story())


def test_a_size_above_the_share_is_taken_by_a_key_that_holds_nothing() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("b")
        await hands.want("a", size=5)
        await hands.want("a", size=5)
        assert hands.granted == ["b", "a"]
        await hands.free("a", 5)
        assert hands.granted == ["b", "a", "a"]

    run(story())


def test_who_gives_up_leaves_the_queue() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("b")
        await hands.want("a", 5)
        hands.tasks[-1].cancel()
        await asyncio.sleep(0)
        assert hands.places.waiting == 1
        await hands.free("a")
        await hands.free("a")
        assert (hands.granted.count("a"), hands.places.waiting) == (4, 0)

    run(story())


def test_who_gives_up_with_a_size_that_did_not_fit_lets_the_next_one_in() -> None:
    async def story() -> None:
        hands = Hands()
        for key in "abc":
            await hands.want(key, 3)
        await hands.want("large", size=2)
        large = hands.tasks[-1]
        await hands.want("small")
        large.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert hands.granted[9:] == ["small"]

    run(story())


def test_a_place_granted_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    async def story() -> None:
        hands = Hands()
        await hands.want("b")
        await hands.want("a", 5)
        # Granted, and cancelled before its task has run.
        hands.places.release("a")
        hands.tasks[4].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert hands.places.held == 4
        assert hands.granted == ["b", "a", "a", "a", "a"]
        with pytest.raises(asyncio.CancelledError):
            await hands.tasks[4]

    run(story())


def test_a_place_is_given_back_at_the_end_of_a_block() -> None:
    async def story() -> None:
        places = FairPlaces(1, each=1)
        async with places.place("a"):
            assert not places.take_at_once("a")
        assert places.take_at_once("b")

    run(story())


def test_a_key_alone_may_have_less_than_all_but_one_share() -> None:
    async def story() -> None:
        places = FairPlaces(10, each=3, alone=5)
        assert [places.take_at_once("a") for _ in range(6)] == [True] * 5 + [False]
        assert places.take_at_once("b")

    run(story())


def test_a_key_gets_more_once_the_others_are_forgotten_though_nobody_takes_or_frees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recent_keys, "REMEMBERED_SECONDS", 0.01)

    async def story() -> None:
        places = FairPlaces(10, each=3)
        await places.take("b")
        places.release("b")
        for _ in range(4):
            await places.take("a")
        assert places.held == 4

    run(story())
