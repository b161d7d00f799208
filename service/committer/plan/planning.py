"""The parts that all planning functions share for one batch."""

from dataclasses import dataclass

from gitstore.write.commit_builder import CommitBuilder
from service.committer.plan.applier import Applier
from service.committer.plan.ledger import Ledger
from service.committer.plan.quotas import Quotas
from service.committer.plan.tree import Tree


@dataclass(frozen=True, slots=True)
class Planning:
    """The parts of one batch: its resources, their tree, its quotas, the applier and builder of commits."""

    ledger: Ledger
    tree: Tree
    quotas: Quotas
    applier: Applier
    builder: CommitBuilder
