"""Comparison of a subscription's git, API and rows with the model of the deletion machine."""

from tests.machines.deletion_model import Model
from tests.support.api import COLLECTIONS, Json, Tenant, refused
from tests.support.processes import Repository

_ROWS = """
SELECT resource_id::text, version_number, is_current, is_published, version_tag, git_commit_hash,
    commit_number
FROM versions WHERE subscription_id = %s
"""
_CHANGES = """
SELECT record_id::text, array_agg(version_number ORDER BY version_number) FROM data_change_history
WHERE subscription_id = %s AND table_name = ANY(%s) GROUP BY record_id
"""
_EVENTS = """
SELECT count(*) FILTER (WHERE action = 'DELETE'), count(*) FILTER (WHERE action = 'RESTORE') FROM audit_logs
WHERE subscription_id = %s AND status = 'success' AND new_values ? 'counts'
"""


class Agreement:
    """Compares a subscription with the model of it."""

    def __init__(self, tenant: Tenant, model: Model) -> None:
        self.tenant = tenant
        self.model = model
        self.repository = Repository(tenant.repository)
        self.heads: dict[str, list[str]] = {"main": [], "published": []}
        # The same files have the same tree, whatever was deleted and restored in between.
        self.trees: dict[frozenset[tuple[str, bytes]], str] = {}

    def close(self) -> None:
        """Close the repository."""
        self.repository.close()

    def check_git(self) -> None:
        """Compare the tags and both branches with the undeleted resources and their published versions."""
        living = self.model.living
        self.check_branch("main", self.model.commits, {r.path: r.blob(r.current) for r in living})
        published = {r.path: r.blob(r.published) for r in living if r.published is not None}
        self.check_branch("published", self.model.publications, published)
        tagged = {
            f"refs/tags/{r.collection}/{r.resource_id}/{v.tag}": v.commit
            for r in self.model.resources
            for v in r.versions
            if v.tag is not None
        }
        branches = {f"refs/heads/{name}" for name, heads in self.heads.items() if heads}
        assert self.repository.refs() == branches | tagged.keys()
        for name, commit in tagged.items():
            assert self.repository.tagged(name)[1] == commit

    def check_branch(self, name: str, commits: int, files: dict[str, bytes]) -> None:
        heads = self.heads[name]
        line = self.repository.line(name, heads[-1] if heads else None)
        heads += [str(commit.id) for commit in line]
        assert len(heads) == commits
        if heads:
            assert self.repository.files(heads[-1]) == files
        if line:
            tree = str(line[-1].tree_id)
            assert self.trees.setdefault(frozenset(files.items()), tree) == tree

    def check_everything(self) -> None:
        self.check_resources()
        self.check_deletions()
        self.check_rows()

    def check_resources(self) -> None:
        """Compare lists with and without deleted resources, names and parents with the model."""
        vera, path = self.tenant.vera, self.tenant.path
        live: dict[str, Json] = {}
        for collection in COLLECTIONS:
            items = vera.pages(f"{path}/{collection}", include_deleted=True, limit=200)
            rows = [r.row() for r in reversed(self.model.present) if r.collection == collection]
            assert [{name: item[name] for name in rows[0]} for item in items] == rows
            found = [item for item in items if item["deleted_at"] is None]
            assert vera.pages(f"{path}/{collection}", limit=200) == found
            live |= {item["resource_id"]: item for item in found}
        assert live.keys() == {each.resource_id for each in self.model.living}
        for item in live.values():
            # The parent of an undeleted resource is not deleted either.
            assert item["parent_id"] in live or item["resource_type"] == "workspace"
        places = {(item["resource_type"], item["parent_id"], item["name"]) for item in live.values()}
        assert len(places) == len(live)
        for gone in [each for each in self.model.resources if each.is_gone][-1:]:
            at = f"{path}/{gone.collection}/{gone.resource_id}"
            refused(vera.get(at), 404, "resource_not_found")

    def check_deletions(self) -> None:
        """Compare the records of all deletions, and the deletions that can be restored now."""
        vera, path, model = self.tenant.vera, f"{self.tenant.path}/deletions", self.model
        expected = {each.deletion_id: each.shown(model.at) for each in model.records}
        assert len(expected) == len(model.records)
        items = vera.pages(path, limit=200)
        shown = {
            item["deletion_id"]: {name: item[name] for name in expected[item["deletion_id"]]}
            for item in items
        }
        assert shown == expected
        assert len(items) == len(expected)
        for item in items:
            assert {name: item[f"cascaded_{name}"] for name in COLLECTIONS} == item["counts"]
            assert (item["restored_at"] is None) == (item["restored_commit_hash"] is None)
        can = {each.deletion_id for each in model.records if each.can_be_restored(model.at)}
        assert {item["deletion_id"] for item in vera.pages(path, restorable=True, limit=200)} == can

    def check_rows(self) -> None:
        """Compare all versions ever made, the numbers of changes, and the counts of audited deletions."""
        database, of_tenant = self.tenant.server.database, self.tenant.subscription_id
        rows = {
            (r.resource_id, v.number, v is r.current, v is r.published, v.tag, v.commit, v.place)
            for r in self.model.resources
            for v in r.versions
        }
        assert set(database.rows(_ROWS, of_tenant)) == rows
        changes = {r.resource_id: list(range(1, r.changes + 1)) for r in self.model.resources}
        assert dict(database.rows(_CHANGES, of_tenant, list(COLLECTIONS))) == changes
        events = (self.model.deletions, self.model.restorations)
        assert database.rows(_EVENTS, of_tenant) == [events]
