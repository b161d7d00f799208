"""Workflows whose versions differ in known ways, and the pages about them."""

from itertools import pairwise

from tests.support.api import Caller, Json, Tenant
from tests.support.html import Form
from tests.support.web import Browser, Page


def signed_in(tenant: Tenant, caller: Caller) -> Browser:
    """Open a browser in which a caller of a tenant is signed in."""
    return Browser(tenant.server).sign_in(caller)


def graph(*names: str, **settings: object) -> Json:
    """Make a workflow of nodes in a row, as React Flow writes it."""
    nodes = [
        {"id": name, "type": "step", "position": {"x": 0, "y": 90 * number}, "data": {"label": name}}
        for number, name in enumerate(names)
    ]
    edges = [{"id": f"{one}-{two}", "source": one, "target": two} for one, two in pairwise(names)]
    return {"nodes": nodes, "edges": edges, **settings}


def graphed(tenant: Tenant, *documents: Json, **fields: object) -> Json:
    """Create a workflow with a version of each document after the first, which is empty."""
    workflow = tenant.workflow(**fields)
    for document in documents:
        tenant.save(workflow, document)
    return workflow


def deed(page: Page) -> Form:
    """Return the one form of a page's own that changes something."""
    found = [each for each in page.forms if each.method == "POST" and each.action != "/sign-out"]
    assert len(found) == 1, [each.action for each in found]
    return found[0]
