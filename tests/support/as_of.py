"""Trees of the past, asked for by an instant or a commit."""

from datetime import datetime
from typing import Any

from tests.support.api import Json, Tenant, ok
from tests.support.trees import tree


def then(tenant: Tenant, moment: str | datetime, **query: Any) -> Json:
    """Return the first page of the tree at a commit or an instant."""
    return ok(tenant.vera.get(path(tenant, moment), params=query))


def path(tenant: Tenant, moment: str | datetime) -> str:
    """Return the path of the tree at a commit or an instant."""
    return f"{tenant.path}/at/{moment if isinstance(moment, str) else moment.isoformat()}"


def now(tenant: Tenant) -> datetime:
    """Return an instant after all answers so far, and before all later ones."""
    return tenant.server.clock()


def story(tenant: Tenant) -> None:
    """Make a history with every kind of change that a tree can have."""
    made = tree(tenant)
    tenant.save(made["workflows"], {"n": 2})
    tenant.amend(made["inner jobs"], name="renamed")
    tenant.amend(made["inner folders"], parent_folder_id=None)
    alone = tenant.remove(made["workflows"])
    deleted = tenant.remove(made["folders"])
    again = ok(
        tenant.ana.post(
            f"{tenant.path}/folders",
            {"workspace_id": made["workspaces"]["resource_id"], "name": "folders of a tree"},
        ),
        201,
    )
    tenant.restore(deleted, resolve={"rename": "folders of old"})
    tenant.restore(alone)
    tenant.remove(again)
    tenant.remove(again, permanent=True)
    tenant.save(made["workflows"], {"n": 3})
