"""A subscription that has seen every kind of change, and the findings of reconcile in it."""

from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from service.domain.ids import SubscriptionId
from service.recovery.checks.findings import Finding
from service.recovery.reconcile import VerifyReport, reconcile
from sql.database import Database
from tests.support.api import Json, Tenant, ok, run_git, snapshot_path
from tests.support.histories import check_history

BODY = {"n": 1, "big": 1e22, "minus": -0.0, "text": "ä \u2028", "list": [1.0, None, True]}


def verify(
    tenant: Tenant, *, repair: bool = False, grace: float = 0.0, database: Database | None = None, **how: Any
) -> VerifyReport:
    """Verify the subscription."""
    context = tenant.server.context
    return reconcile(
        database or context.database,
        context.store,
        context.clock,
        repair=repair,
        only=SubscriptionId(UUID(tenant.subscription_id)),
        grace_seconds=grace,
        **how,
    )


class History:
    """A workflow with three versions, the second tagged v2 and the first published, and another workflow."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.workflow = tenant.workflow(name="etl", definition=BODY)
        self.other = tenant.workflow(name="other")
        for number in (2, 3):
            tenant.save(self.workflow, {**BODY, "n": number})
        self.versions = [ok(tenant.ana.get(f"{self.at}/versions/{number}")) for number in (1, 2, 3)]
        ok(tenant.ana.put(f"{self.at}/versions/2/tag", {"tag": "v2"}))
        ok(tenant.ana.post(f"{self.at}/versions/1/publish"))

    @property
    def at(self) -> str:
        return self.tenant.at(self.workflow)

    @property
    def name(self) -> str:
        """The workflow's name in findings."""
        return f"workflows/{self.workflow['resource_id']}"

    @property
    def tag_ref(self) -> str:
        return f"refs/tags/{self.name}/v2"

    @property
    def path(self) -> str:
        return snapshot_path(self.workflow)

    def commit(self, number: int) -> str:
        return str(self.versions[number - 1]["git_commit_hash"])

    def version_id(self, number: int) -> str:
        return str(self.versions[number - 1]["version_id"])

    def foreign(self, *parents: str, message: str = "a stranger's", tree: str = "main^{tree}") -> str:
        """Make a commit with git itself, as somebody from outside would."""
        options = [option for parent in parents for option in ("-p", parent)]
        names = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        tree = self.git("rev-parse", tree)
        return self.git(*names, "commit-tree", "-m", message, *options, tree)

    def git(self, *arguments: str, **how: Any) -> str:
        return run_git(self.tenant.repository, *arguments, **how).stdout.decode().strip()

    def sql(self, statement: LiteralString, *values: object) -> None:
        """Run a statement as the owner of the tables."""
        with self.tenant.server.database.connection() as connection:
            connection.execute(statement, values)

    def column(self, number: int, column: LiteralString) -> object:
        """Read a column of a version's row."""
        query = sql.SQL("SELECT {} FROM versions WHERE version_id = %s").format(sql.Identifier(column))
        with self.tenant.server.database.connection() as connection:
            [[value]] = connection.execute(query, [self.version_id(number)]).fetchall()
        return value

    def set(self, number: int, column: LiteralString, value: object) -> None:
        """Change a column of a version's row, as the owner of the tables."""
        with self.tenant.server.database.connection() as connection:
            query = sql.SQL("UPDATE versions SET {} = %s WHERE version_id = %s")
            connection.execute(query.format(sql.Identifier(column)), [value, self.version_id(number)])

    def value(self, query: LiteralString, *values: object) -> Any:
        return self.tenant.server.database.value(query, *values)

    def footprint(self) -> object:
        """Return the state that a run without repair must keep: files, rows of versions and refs, audit."""
        path = self.tenant.repository
        files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        rows = self.tenant.server.database.rows(
            "SELECT to_jsonb(v) FROM versions v WHERE subscription_id = %s ORDER BY version_id",
            self.tenant.subscription_id,
        )
        return files, rows, self.tips(), len(audited(self.tenant))

    def point(self, branch: str, commit: str) -> None:
        """Write another commit into the row of a branch."""
        column = "head_commit" if branch == "main" else "published_commit"
        query = sql.SQL("UPDATE repositories SET {} = %s WHERE subscription_id = %s")
        with self.tenant.server.database.connection() as connection:
            connection.execute(query.format(sql.Identifier(column)), [commit, self.tenant.subscription_id])

    def tips(self) -> tuple[str, str, int]:
        [row] = self.tenant.server.database.rows(
            "SELECT head_commit, published_commit, commits FROM repositories WHERE subscription_id = %s",
            self.tenant.subscription_id,
        )
        return row


def told(report: VerifyReport) -> list[tuple[str, str]]:
    """Return the code and subject of each finding."""
    return [(finding.code.value, finding.subject) for finding in report.findings]


def only(report: VerifyReport) -> Finding:
    """Return the finding, which has to be the only one."""
    assert len(report.findings) == 1, told(report)
    return report.findings[0]


def audited(tenant: Tenant) -> list[Json]:
    """Return the audit events of repairs, oldest first."""
    return tenant.aud.pages(f"{tenant.path}/audit-logs", action="REPAIR")[::-1]


def mended(history: History, code: str, subject: str, *, repair_says: str = "") -> None:
    """Check that a repair mends the only finding and records it, and that the next run finds nothing."""
    before = len(audited(history.tenant))
    finding = only(verify(history.tenant, repair=True))
    assert (finding.code, finding.subject, finding.failed) == (code, subject, None)
    assert finding.repaired is not None
    assert repair_says in finding.repaired
    assert finding.to_do is None
    assert told(verify(history.tenant)) == []
    check_history(history.tenant)
    events = audited(history.tenant)
    assert len(events) == before + 1
    event = events[-1]
    assert (event["username"], event["user_id"], event["status"]) == ("system:reconcile", None, "success")
    assert event["resource_type"] == "repository"
    assert (event["old_values"]["code"], event["old_values"]["subject"]) == (code, subject)
    assert event["old_values"]["value"] == finding.found
    assert event["new_values"]["value"] == finding.expected
    assert event["new_values"]["repair"] == finding.repaired


def left(history: History, code: str, subject: str) -> None:
    """Check that a repair leaves the only finding, and says what to do."""
    for _ in range(2):
        finding = only(verify(history.tenant, repair=True))
        assert (finding.code, finding.subject, finding.repaired) == (code, subject, None)
        assert finding.to_do is not None
    assert audited(history.tenant) == []


def found(history: History, code: str, subject: str, expected: object, found: object) -> None:
    """Check that a run without repair has this finding only, and changes nothing."""
    footprint = history.footprint()
    finding = only(verify(history.tenant))
    assert (finding.code, finding.subject) == (code, subject)
    assert (finding.expected, finding.found) == (expected, found)
    assert str(finding.subscription_id) == history.tenant.subscription_id
    assert history.footprint() == footprint


LATE = "2031-02-03 04:05:06.000007+00:00"


def set_resource(history: History, resource: Json, column: LiteralString, value: object) -> None:
    """Change a column of a resource's row, as the owner of the tables."""
    kind = resource["resource_type"]
    query = sql.SQL("UPDATE {} SET {} = %s WHERE {} = %s").format(
        *(sql.Identifier(name) for name in (f"{kind}s", column, f"{kind}_id"))
    )
    with history.tenant.server.database.connection() as connection:
        connection.execute(query, [value, resource["resource_id"]])


def row_of(history: History, resource: Json) -> Json:
    """Return the whole row of a resource."""
    kind = resource["resource_type"]
    query = sql.SQL("SELECT to_jsonb(r) FROM {} r WHERE {} = %s").format(
        *(sql.Identifier(name) for name in (f"{kind}s", f"{kind}_id"))
    )
    with history.tenant.server.database.connection() as connection:
        [[row]] = connection.execute(query, [resource["resource_id"]]).fetchall()
    assert isinstance(row, dict)
    return row


def name_of(resource: Json) -> str:
    """Return a resource's name in findings."""
    return f"{resource['resource_type']}s/{resource['resource_id']}"
