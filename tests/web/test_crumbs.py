"""The way that pages about a resource show: from all resources down to it."""

import pytest

from tests.support.api import Tenant
from tests.support.web import Browser, page_of

PAGES = (
    *("/check-out", "/release", "/delete", "/compare?from=1&to=2", "/roll-back?to=1"),
    *("/publish", "/unpublish", "/versions/2", "/versions/2/tag", "/versions/2/comments"),
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_about_a_resource_shows_the_way_to_it(shared: Tenant, page: str) -> None:
    workspace = shared.make("workspaces")
    folder = shared.make("folders", workspace_id=workspace["resource_id"])
    job = shared.make("jobs", folder_id=folder["resource_id"])
    workflow = shared.workflow(job_id=job["resource_id"])
    shared.save(workflow, {"a": 1}, publish=True)
    found = Browser(shared.server).sign_in(shared.ana).see(page_of(shared, workflow) + page)
    crumbs = found.root.one("nav", class_="crumbs").all("a")
    base = f"/s/{shared.subscription_id}/resources"
    above = [
        f"{base}?under={each['resource_type']}/{each['resource_id']}" for each in (workspace, folder, job)
    ]
    assert [each["href"] for each in crumbs] == [base, *above, page_of(shared, workflow)]
    assert crumbs[-1].text == workflow["name"]
