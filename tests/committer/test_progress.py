"""Progress of batches: one that works makes progress however long it takes, one that waits makes none."""

import threading
import time
from collections.abc import Callable

from service.committer.progress import Progress
from service.domain.ids import SubscriptionId, mint
from tests.support.waiting import until

SECONDS = 0.5


def standing_while(
    wait: Callable[[threading.Event], object], looks: int, *, database_works: bool = False
) -> list[bool]:
    """Tell at each of some looks, 0.1 s apart, if a batch counts as standing whose thread does this."""
    progress = Progress(lambda _: database_works)
    ended, begun = threading.Event(), threading.Event()
    subscription_id = SubscriptionId(mint())

    def batch() -> None:
        progress.begin(subscription_id)
        begun.set()
        wait(ended)
        progress.end()

    thread = threading.Thread(target=batch)
    thread.start()
    begun.wait()
    found = []
    for _ in range(looks):
        time.sleep(0.1)
        found.append(progress.standing(SECONDS) == [subscription_id])
    ended.set()
    thread.join()
    assert progress.standing(0) == []
    return found


def works(ended: threading.Event) -> None:
    while not ended.is_set():
        sum(range(1000))


def looks_up(ended: threading.Event) -> None:
    """Wait as the driver of the database does."""
    while not ended.wait(0.1):
        pass


def test_a_batch_that_works_is_never_one_that_stands() -> None:
    assert not any(standing_while(works, 15))


def test_a_batch_that_waits_stands_after_its_time() -> None:
    found = standing_while(looks_up, 15)
    assert not found[0]
    assert found[-1]


def test_a_batch_for_which_the_database_works_is_not_one_that_stands() -> None:
    assert not any(standing_while(looks_up, 15, database_works=True))


def test_a_thread_that_ended_within_its_batch_harms_no_look() -> None:
    progress = Progress(lambda _: False)
    thread = threading.Thread(target=progress.begin, args=(SubscriptionId(mint()),))
    thread.start()
    thread.join()
    until(lambda: progress.standing(0) == [])
