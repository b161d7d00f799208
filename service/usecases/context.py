"""Context of use cases: the parts that the service is made of."""

from dataclasses import dataclass
from typing import Protocol

from gitstore.read.blob_reader import Reader
from gitstore.store import Store
from service.committer.changes import Committer
from service.committer.group_commit import GroupCommit
from service.documents.workers import DocumentWorkers
from service.runtime.clock import Clock
from service.runtime.fair_threads import FairThreads
from service.runtime.settings import Settings
from sql.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Parts of one process; safe to share between its threads."""

    settings: Settings
    database: Database
    store: Store
    reader: Reader
    documents: DocumentWorkers
    committer: Committer
    clock: Clock
    public_url: str
    # Diffs have threads of their own: large ones take seconds, and must not fill the threads that all other
    # reads share.
    diffs: FairThreads


class Parts(Protocol):
    """Parts that suffice to plan a scheduled job."""

    @property
    def settings(self) -> Settings:
        """Settings of the operator."""

    @property
    def database(self) -> Database:
        """Database of the rows."""

    @property
    def store(self) -> Store:
        """Store of the repositories."""

    @property
    def clock(self) -> Clock:
        """Clock of the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """Parts of a scheduler, or of a command that runs one scheduled job."""

    settings: Settings
    database: Database
    store: Store
    group: GroupCommit
    clock: Clock
