"""The latest versions of a subscription, and what was published or rolled back in a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, literal, select, text, true, union_all

from sql.database import Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.queries.resources import TABLE_OF, identity

_VERSIONS, _ACTORS = TABLES["versions"], TABLES["actors"]
# Versions that are looked through for those whose resources are live.
_LOOKED_AT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestVersion:
    """A version of a resource, under the name that the resource has now."""

    resource_type: str
    resource_id: UUID
    name: str
    version_number: int
    version_description: str | None
    created_by_username: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionEvent:
    """A publication, or the rollback that made a version; `version_number` is None where it is not known."""

    at: datetime
    action: str
    resource_id: UUID
    name: str
    version_number: int | None


def latest(tx: Transaction, subscription_id: UUID, *, limit: int) -> list[LatestVersion]:
    """Read the newest versions of live resources."""
    v = (
        select(
            *(_VERSIONS.c[name] for name in ("resource_type", "resource_id", "version_number")),
            *(_VERSIONS.c[name] for name in ("version_description", "created_by", "created_at")),
            _VERSIONS.c.commit_number,
        )
        .where(_VERSIONS.c.subscription_id == subscription_id)
        .order_by(_VERSIONS.c.created_at.desc(), _VERSIONS.c.commit_number.desc())
        .limit(_LOOKED_AT)
        .subquery("v")
    )
    named = union_all(
        *(
            select(table.c.name).where(
                v.c.resource_type == literal(kind, Text()),
                identity(kind) == v.c.resource_id,
                table.c.subscription_id == subscription_id,
                table.c.deleted_at.is_(None),
            )
            for kind, table in TABLE_OF.items()
        )
    ).lateral("named")
    query = (
        select(
            *(v.c[name] for name in ("resource_type", "resource_id", "version_number")),
            *(v.c[name] for name in ("version_description", "created_at")),
            named.c.name,
            _ACTORS.c.username.label("created_by_username"),
        )
        .select_from(v.join(named, true()).join(_ACTORS, _ACTORS.c.user_id == v.c.created_by))
        .order_by(v.c.created_at.desc(), v.c.commit_number.desc())
        .limit(limit)
    )
    return [LatestVersion(**row._mapping) for row in tx.execute(query)]


_EVENTS = text(
    """
SELECT happened.at, happened.action, workflows.workflow_id AS resource_id, workflows.name,
    happened.version_number
FROM (
    SELECT publications.published_at AS at, 'PUBLISH' AS action, publications.resource_id,
        versions.version_number
    FROM publications
    JOIN versions ON versions.subscription_id = :subscription_id
        AND versions.version_id = publications.version_id
    WHERE publications.subscription_id = :subscription_id AND publications.resource_type = 'workflow'
        AND publications.published_at >= :since AND publications.published_at <= :until
    UNION ALL
    SELECT versions.created_at, 'ROLLBACK', versions.resource_id, versions.version_number
    FROM audit_logs
    JOIN versions ON versions.subscription_id = :subscription_id AND versions.resource_type = 'workflow'
        AND versions.created_at = audit_logs.created_at
        AND CAST(versions.resource_id AS TEXT) = audit_logs.resource_id
    WHERE audit_logs.subscription_id = :subscription_id AND audit_logs.action = 'ROLLBACK'
        AND audit_logs.status = 'success' AND audit_logs.resource_type = 'workflow'
        AND audit_logs.created_at >= :since AND audit_logs.created_at <= :until
) AS happened
JOIN workflows ON workflows.subscription_id = :subscription_id
    AND workflows.workflow_id = happened.resource_id
WHERE CAST(:workflow_id AS UUID) IS NULL OR happened.resource_id = :workflow_id
ORDER BY happened.at DESC, happened.action, happened.version_number
LIMIT :limit
"""
).bindparams(
    bindparam("subscription_id", type_=Uuid()),
    bindparam("workflow_id", type_=Uuid()),
    bindparam("since", type_=INSTANT),
    bindparam("until", type_=INSTANT),
)


def events(
    tx: Transaction,
    subscription_id: UUID,
    *,
    workflow_id: UUID | None,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[VersionEvent]:
    """Read the newest publications and rollbacks of workflows in a time, or of one workflow."""
    values = {
        "subscription_id": subscription_id,
        "workflow_id": workflow_id,
        "since": since,
        "until": until,
        "limit": limit,
    }
    return [VersionEvent(**row._mapping) for row in tx.execute(_EVENTS, values)]
