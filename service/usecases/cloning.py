"""What comes before a clone or fetch is served: the refs are right, and the event is recorded."""

import structlog

from service import audit
from service.actions import Action
from service.audit import Subject
from service.callers import Member
from service.committer.refs import settle
from service.context import Context
from sql.queries.audit_logs import Values

log = structlog.get_logger(__name__)


def prepare(context: Context, author: Member) -> None:
    """Let the refs equal their rows, so that a clone shows every acknowledged version."""
    if settle(context.database, context.store, author.subscription_id):
        log.info("refs were behind their rows and followed", subscription_id=str(author.subscription_id))


def record(context: Context, author: Member, action: Action, about: Values) -> None:
    """Record a clone or fetch before its first byte is sent: no audit, no clone."""
    subject = Subject("repository", author.subscription_id, None)
    with context.database.transaction(author.subscription_id) as tx:
        audit.record(tx, author, author.subscription_id, subject, action, context.clock(), new=about)
