"""A real browser: pages of an allowed origin save versions, pages of another can't."""

import json
from pathlib import Path

import pytest

from tests.support.api import Tenant, ok
from tests.support.browsers import CHROMIUM, site, visited

# Saves a version, based on the ETag that it has read; then tries again with that ETag, and with a bad key.
SCRIPT = """
    const key = {"Authorization": "Bearer KEY"};
    const read = await fetch("RESOURCE/versions/current", {headers: key});
    found.before = read.headers.get("ETag");
    const save = () => fetch("RESOURCE/versions", {
        method: "POST",
        headers: {...key, "Content-Type": "application/json", "If-Match": found.before,
            "X-Change-Reason": "in a browser"},
        body: JSON.stringify({data: {from: location.origin}}),
    });
    const saved = await save();
    found.saved = [saved.status, saved.headers.get("ETag"), saved.headers.get("X-Request-Id")];
    const again = await save();
    found.again = [again.status, (await again.json()).code];
    const unknown = await fetch("RESOURCE", {headers: {"Authorization": "Bearer wrong"}});
    found.unknown = [unknown.status, (await unknown.json()).code];
"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_a_page_saves_a_version_where_its_origin_is_allowed_and_only_there(
    tenant: Tenant, tmp_path: Path
) -> None:
    workflow = tenant.workflow()
    at = tenant.at(workflow)
    script = SCRIPT.replace("RESOURCE", tenant.server.url + at).replace("KEY", str(tenant.ana.key))
    with site(script) as pages:
        allowed, other = pages.origin("localhost"), pages.origin("127.0.0.1")
        ok(tenant.ana.patch(tenant.path, {"cors_origins": [allowed]}))
        found = visited(pages, "localhost", tmp_path)
        version = ok(tenant.ana.get(f"{at}/versions/current"))
        assert "error" not in found, json.dumps(found)
        assert found["origin"] == allowed
        assert found["before"] == f'"{workflow["git_commit_hash"]}"'
        assert found["saved"][:2] == [201, f'"{version["git_commit_hash"]}"']
        assert len(found["saved"][2]) == 36
        assert (version["version_number"], version["data"]) == (2, {"from": allowed})
        assert (found["again"], found["unknown"]) == ([412, "stale_version"], [401, "unauthenticated"])

        refused = visited(pages, "127.0.0.1", tmp_path)
        assert refused["origin"] == other
        assert "Failed to fetch" in refused["error"]
        assert "before" not in refused
    assert ok(tenant.ana.get(at))["current_version"] == 2
