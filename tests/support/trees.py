"""A tree of resources of every kind, and the undeleted and the deleted resources in it."""

from typing import Any

from tests.support.api import COLLECTIONS, Json, Tenant, ok

COUNTS = dict.fromkeys(COLLECTIONS, 0)


def tree(tenant: Tenant) -> dict[str, Json]:
    """Make one resource of each kind, and within the folder another one with a job and a workflow."""
    made: dict[str, Json] = {}

    def make(name: str, **parents: str) -> None:
        collection = name.rpartition(" ")[2]
        body = {field: made[parent]["resource_id"] for field, parent in parents.items()}
        response = tenant.ana.post(f"{tenant.path}/{collection}", {"name": f"{name} of a tree"} | body)
        made[name] = ok(response, 201)

    make("workspaces")
    make("folders", workspace_id="workspaces")
    make("connectors", workspace_id="workspaces")
    make("jobs", folder_id="folders")
    make("jobpackages", folder_id="folders")
    make("workflows", job_id="jobs")
    make("inner folders", workspace_id="workspaces", parent_folder_id="folders")
    make("inner jobs", folder_id="inner folders")
    make("inner workflows", job_id="inner jobs")
    return made


def records_of(tenant: Tenant, deletion: Json) -> list[Json]:
    """Return the deletion records of all resources that one deletion deleted."""
    return tenant.vera.pages(f"{tenant.path}/deletions", root_deletion_id=deletion["root_deletion_id"])


def live(tenant: Tenant) -> set[str]:
    """Return the ids of the undeleted resources, according to the API."""
    return {
        each["resource_id"] for kind in COLLECTIONS for each in tenant.vera.pages(f"{tenant.path}/{kind}")
    }


def in_git(tenant: Tenant, ref: str = "main") -> set[str]:
    """Return the ids of the resources that have a file at a commit."""
    names = tenant.git("ls-tree", "-r", "--name-only", ref).split()
    return {name.rpartition("/")[2].removesuffix(".json") for name in names}


# For each resource of the tree, the resources that its deletion deletes, itself included.
DELETED_WITH = {
    "workspaces": {
        *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
        *("inner folders", "inner jobs", "inner workflows"),
    },
    "folders": {
        *("folders", "jobs", "workflows", "jobpackages"),
        *("inner folders", "inner jobs", "inner workflows"),
    },
    "inner folders": {"inner folders", "inner jobs", "inner workflows"},
    "jobs": {"jobs", "workflows"},
    "workflows": {"workflows"},
    "jobpackages": {"jobpackages"},
    "connectors": {"connectors"},
}


def restoring(tenant: Tenant, deletion: Json) -> str:
    """Return the path at which a deletion is restored."""
    return f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"


def place_of(tenant: Tenant, resource: Json) -> tuple[str | None, str]:
    """Return the parent and the workspace of a resource, according to its answer."""
    found = ok(tenant.vera.get(tenant.at(resource)))
    return found["parent_id"], found["workspace_id"]


def folder(tenant: Tenant, within: Json | None = None, **fields: Any) -> Json:
    """Make a folder, within another one if that is given."""
    if within is not None:
        fields |= {"parent_folder_id": within["resource_id"], "workspace_id": within["workspace_id"]}
    return tenant.make("folders", **fields)
