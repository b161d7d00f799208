"""What use cases are handed: the parts that the service is made of."""

from dataclasses import dataclass
from typing import Protocol

from anyio import CapacityLimiter

from gitstore.read.blob_reader import Reader
from gitstore.store import Store
from service.committer.changes import Committer
from service.committer.group_commit import GroupCommit
from service.runtime.clock import Clock
from service.runtime.settings import Settings
from sql.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One process's parts; safe to share between its threads."""

    settings: Settings
    database: Database
    store: Store
    reader: Reader
    committer: Committer
    clock: Clock
    public_url: str
    # Diffs mostly wait, for a few seconds at the most: not on the threads that all other reads share.
    diff_threads: CapacityLimiter


class Parts(Protocol):
    """What is enough to say what a job would do."""

    @property
    def settings(self) -> Settings:
        """What the operator chose."""

    @property
    def database(self) -> Database:
        """The rows."""

    @property
    def store(self) -> Store:
        """The repositories."""

    @property
    def clock(self) -> Clock:
        """The time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What jobs are made from: the parts of a scheduler, or of a command that runs one job."""

    settings: Settings
    database: Database
    store: Store
    group: GroupCommit
    clock: Clock
