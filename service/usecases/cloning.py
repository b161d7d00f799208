"""Prepare and record clones and fetches before they are served."""

import structlog

from service.audit import events
from service.audit.events import Subject
from service.committer.refs import settle
from service.domain.actions import Action
from service.domain.callers import Member
from service.domain.errors import CloneClosed
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from sql.queries import deletions
from sql.queries.audit_logs import Values

log = structlog.get_logger(__name__)


def check_unpurged(context: Context, subscription_id: SubscriptionId) -> None:
    """Raise CloneClosed if anything was deleted for good: git has it, and only admins may read it."""
    with context.database.transaction(subscription_id) as tx:
        if deletions.has_permanent(tx, subscription_id):
            raise CloneClosed(
                "Something was deleted for good here, and git still has it: only admins may clone or fetch."
            )


def prepare(context: Context, author: Member) -> None:
    """Move the refs to the commits in their rows, so that a clone has every acknowledged version."""
    if settle(context.database, context.store, author.subscription_id):
        log.info("refs were behind their rows and followed", subscription_id=str(author.subscription_id))


def record(context: Context, author: Member, action: Action, about: Values) -> None:
    """Record a clone or fetch before its first byte is sent; if that fails, nothing is sent."""
    subject = Subject("repository", author.subscription_id, None)
    with context.database.transaction(author.subscription_id) as tx:
        events.record(tx, author, author.subscription_id, subject, action, context.clock(), new=about)
