"""The parts that the functions of this package share while they plan one batch."""

from dataclasses import dataclass

from gitstore.write.commit_builder import CommitBuilder
from service.committer.plan.applier import Applier
from service.committer.plan.ledger import Ledger
from service.committer.plan.tree import Tree


@dataclass(frozen=True, slots=True)
class Planning:
    """One batch: its resources, their tree, and the two parts that accepted changes are added to."""

    ledger: Ledger
    tree: Tree
    applier: Applier
    builder: CommitBuilder
