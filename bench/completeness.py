"""Completeness: every row of every acknowledged save exists, so that speed was not bought with losses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from bench import reference
from bench.load import Chain, Outcome
from bench.service import Database, Service

# For each acknowledged version: does its row agree with the answer, does an audit row of its request name it
# with address, agent and endpoint, and does a row of the data change history have its diff?
_COMPLETE = """
WITH acknowledged AS (
    SELECT * FROM unnest(%s::text[], %s::uuid[], %s::uuid[], %s::int[], %s::text[])
        AS answered (request_id, resource_id, version_id, version_number, git_commit_hash)
), audited AS (
    SELECT DISTINCT request_id, new_values->>'version_id' AS version_id
    FROM audit_logs
    WHERE ip_address IS NOT NULL AND user_agent <> '' AND api_endpoint <> '' AND http_method = 'POST'
        AND status = 'success' AND user_id IS NOT NULL
), changed AS (
    SELECT record_id, version_number, new_data->>'version_id' AS version_id
    FROM data_change_history
    WHERE jsonb_typeof(diff) = 'array' AND diff <> '[]'
), named AS (
    SELECT DISTINCT version_id FROM changed WHERE version_id IS NOT NULL
), numbered AS (
    SELECT DISTINCT record_id, version_number FROM changed
)
SELECT count(*),
    count(*) FILTER (WHERE versions.version_id IS NULL),
    count(*) FILTER (WHERE audited.version_id IS NULL),
    count(*) FILTER (WHERE named.version_id IS NULL AND numbered.record_id IS NULL)
FROM acknowledged
LEFT JOIN versions USING (version_id, resource_id, version_number, git_commit_hash)
LEFT JOIN audited
    ON audited.request_id = acknowledged.request_id
    AND audited.version_id = acknowledged.version_id::text
LEFT JOIN named ON named.version_id = acknowledged.version_id::text
LEFT JOIN numbered
    ON numbered.record_id = acknowledged.resource_id::text
    AND numbered.version_number = acknowledged.version_number
"""


# The number of commits of `main` according to the rows of versions, of deletions and of restores.
_HISTORY = """
SELECT head_commit, commits, (
    SELECT count(*) FROM (
        SELECT git_commit_hash FROM versions WHERE subscription_id = repositories.subscription_id
        UNION SELECT git_commit_hash FROM deletion_logs WHERE subscription_id = repositories.subscription_id
        UNION SELECT restored_commit_hash FROM deletion_logs
        WHERE subscription_id = repositories.subscription_id AND restored_commit_hash IS NOT NULL
    ) named
)
FROM repositories WHERE subscription_id = %s
"""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A version that an answer with 201 named, and the id of its request."""

    request_id: str
    resource_id: str
    version_id: str
    version_number: int
    git_commit_hash: str


@dataclass(slots=True)
class Completeness:
    """The number of acknowledged versions, and how many rows of each kind are missing."""

    acknowledged: int = 0
    without_version: int = 0
    without_audit: int = 0
    without_change: int = 0
    repositories: int = 0
    wrong_history: list[str] | None = None

    @property
    def is_complete(self) -> bool:
        """Return True if no row is missing."""
        missing = self.without_version + self.without_audit + self.without_change
        return missing == 0 and not self.wrong_history

    def sentence(self) -> str:
        """Describe the result in words."""
        parts = [
            _said("version rows", self.without_version),
            _said("audit rows with address, agent, endpoint and request id", self.without_audit),
            _said("change rows with a diff", self.without_change),
        ]
        histories = "; ".join(self.wrong_history or ()) or f"as the rows say in {self.repositories}"
        return (
            f"{self.acknowledged:,} acknowledged versions: {'; '.join(parts)}; "
            f"`git rev-list --count main`: {histories} repositories"
        )


def acknowledged(chains: Sequence[Chain], outcome: Outcome) -> Iterator[Acknowledged]:
    """Yield the versions that the answers of saves, check-ins and bulk check-ins acknowledged."""
    for answer in outcome.answers:
        if answer.label == "check-out":
            continue
        request_id = chains[answer.chain][answer.call].request_id
        body = orjson.loads(answer.body)
        for version in body.get("versions", [body]):
            yield Acknowledged(
                request_id=request_id,
                resource_id=version["resource_id"],
                version_id=version["version_id"],
                version_number=version["version_number"],
                git_commit_hash=version["git_commit_hash"],
            )


def examine(database: Database, promised: Sequence[Acknowledged]) -> Completeness:
    """Look for the rows of each version."""
    columns = (
        [each.request_id for each in promised],
        [each.resource_id for each in promised],
        [each.version_id for each in promised],
        [each.version_number for each in promised],
        [each.git_commit_hash for each in promised],
    )
    [(count, versions, audits, changes)] = database.rows(_COMPLETE, *columns)
    return Completeness(count, versions, audits, changes)


def wrong_history(service: Service, subscription_id: str) -> str | None:
    """Describe a branch whose number of commits differs from that of the rows; None if they agree."""
    [(head, said, named)] = service.database.rows(_HISTORY, subscription_id)
    repository = service.repository(subscription_id)
    main = reference.git(repository, "rev-parse", "main")
    reached = int(reference.git(repository, "rev-list", "--count", "main"))
    if reached == said == named and main == head:
        return None
    return f"{reached} commits, {said} in the row, {named} named by rows, in {subscription_id}"


def _said(rows: str, missing: int) -> str:
    return f"{rows} all there" if missing == 0 else f"{rows} MISSING for {missing:,}"
