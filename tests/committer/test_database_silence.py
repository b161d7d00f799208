"""A database that falls silent while a batch is written: no outcome is claimed that is not known."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gitstore import failpoints
from service.committer.batch import BatchWriter, Outcome
from service.committer.changes import Written
from service.domain.errors import OutcomeUnknown
from service.domain.ids import SubscriptionId
from sql.database import Database as ServiceDatabase
from sql.errors import DatabaseSilent
from tests.support.api import Json, Tenant
from tests.support.changes import author, save
from tests.support.held_line import HeldLine, held_line
from tests.support.histories import check_history
from tests.support.waiting import until

SILENCE_SECONDS = 0.8


class HoldAt:
    """A failpoint that holds the line to the database."""

    def __init__(self, name: str, line: HeldLine) -> None:
        self._name = name
        self._line = line

    def get(self, name: str) -> None:
        if name == self._name:
            self._line.hold()


@contextmanager
def writing(tenant: Tenant) -> Iterator[tuple[BatchWriter, HeldLine, ServiceDatabase]]:
    with held_line(tenant.server.database.url) as line:
        database = ServiceDatabase(line.url, pool_size=2, silence_seconds=SILENCE_SECONDS)
        writer = BatchWriter(
            database,
            tenant.server.context.store,
            SubscriptionId(author(tenant, tenant.ana).subscription_id),
            clock=tenant.server.clock,
            git_url="http://annals.example",
        )
        try:
            yield writer, line, database
        finally:
            writer.close()
            database.close()


def outcome_of_a_silence(
    tenant: Tenant, workflow: Json, monkeypatch: pytest.MonkeyPatch, where: str
) -> tuple[Outcome, Outcome]:
    """Save while the database falls silent there; then let it answer, and save again."""
    with writing(tenant) as (writer, line, database):
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "_actions", HoldAt(where, line))
            [first] = writer.write([save(tenant, workflow, {"n": 1})])
        line.let_go()
        until(lambda: database.silence is None)
        [second] = writer.write([save(tenant, workflow, {"n": 2})])
        return first, second


def test_a_change_whose_commit_is_not_answered_is_one_of_unknown_outcome(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = outcome_of_a_silence(tenant, tenant.workflow(), monkeypatch, "rows-written")
    assert isinstance(first, OutcomeUnknown)
    assert "may be stored or not" in first.detail
    # This COMMIT reached the database, which carried it out as soon as it could.
    assert isinstance(second, Written)
    assert second.version.version_number == 3
    check_history(tenant)


def test_a_change_that_was_not_to_be_committed_yet_is_known_not_to_be_stored(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = outcome_of_a_silence(tenant, tenant.workflow(), monkeypatch, "repository-locked")
    assert isinstance(first, DatabaseSilent)
    assert isinstance(second, Written)
    assert second.version.version_number == 2
    check_history(tenant)
