"""A lost database: the rows that `annals rebuild --from-git` restores, and its refusals."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from service.cli.client import Client
from service.http.schemas.subscriptions import SubscriptionUpdate
from service.recovery.rebuild import LOST
from tests.support.api import Tenant, git
from tests.support.databases import Cluster
from tests.support.histories import check_history
from tests.support.project import ROOT
from tests.support.rebuilds import (
    PUBLIC_URL,
    STEPS,
    answers,
    check_api_as_before,
    check_rows_as_before,
    house,
    stored,
    tell,
)
from tests.support.running_server import ANNALS, OPERATOR_KEY, running


def test_the_api_answers_after_a_rebuild_as_before_and_writing_continues(
    cluster: Cluster, tmp_path: Path
) -> None:
    home = house(cluster, tmp_path)
    with home.serving() as server:
        tenants = [Tenant(server, "acme"), Tenant(server, "other")]
        for seed, tenant in enumerate(tenants):
            _ = tenant.vera
            tell(tenant, seed=seed, random_steps=STEPS * seed)
        before = [answers(tenant, tenant.ana) for tenant in tenants]
        refs = [tenant.git("for-each-ref") for tenant in tenants]
    was = stored(home)
    # The story has publications that ended, and tags that moved.
    assert sum(row["unpublished_at"] is not None for row in was["publications"]) > 5
    assert len(was["tags"]) > 5
    home.lose_database()
    home.annals("db", "upgrade")
    told = home.annals("rebuild", "--from-git").stdout
    assert "2 rebuilt." in told
    assert f"below {PUBLIC_URL}, as ANNALS_PUBLIC_URL says." in told
    assert "API keys" in told
    check_rows_as_before(home, was)
    with home.serving() as server:
        for tenant, answered, named in zip(tenants, before, refs, strict=True):
            check_api_as_before(tenant, server, answered, named)
            clone = tenant.clone(tmp_path / tenant.subscription_id, tenant.ana)
            assert git(clone, "rev-parse", "HEAD").strip() == tenant.main()
            check_history(tenant)
            continues(tenant)
            check_history(tenant)


def continues(tenant: Tenant) -> None:
    """Check that the next save is the next version on the same history, with its tag and publication."""
    [workflow, *_] = tenant.ana.pages(f"{tenant.path}/workflows")
    head = tenant.main()
    version = tenant.save(workflow, {"goes": "on"}, tag="after", publish=True)
    assert version["version_number"] == workflow["current_version"] + 1
    assert tenant.git("rev-parse", f"{version['git_commit_hash']}^").strip() == head
    made = tenant.make("connectors", name="after")
    assert made["current_version"] == 1
    events = tenant.ana.pages(f"{tenant.path}/audit-logs", action="REBUILD")
    assert [event["resource_id"] for event in events] == [tenant.subscription_id]
    assert events[0]["new_values"]["head_commit"] == head


@pytest.mark.embedded
def test_the_embedded_database_is_rebuilt_in_its_folders_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        operator = Client(server.url, OPERATOR_KEY)
        [first] = operator.get("/v1/subscriptions")["items"]
        operator.close()
    shutil.rmtree(data / "postgres")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_") and k != "DATABASE_URL"}
    done = subprocess.run(
        [ANNALS, "rebuild", "--from-git", "--data-dir", data],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{first['subscription_id']}: rebuilt" in done.stdout
    assert not (data / "postgres" / "postmaster.pid").exists()
    # Its key is lost: the operator gives another, here while the server runs.
    with running(data, ANNALS_OPERATOR_KEY=OPERATOR_KEY) as server:
        operator = Client(server.url, OPERATOR_KEY)
        base = f"/v1/subscriptions/{first['subscription_id']}"
        assert operator.get(base)["name"] == first["subscription_id"]
        [user] = operator.get(f"{base}/users")["items"]
        assert (user["username"], user["role"], user["email"]) == ("admin", "viewer", None)
        key = operator.post(f"{base}/api-keys", {"user_id": user["user_id"], "name": "again"})["api_key"]
        operator.close()
        viewer = Client(server.url, key)
        [workspace] = viewer.get(f"{base}/workspaces")["items"]
        viewer.close()
        assert (workspace["name"], workspace["current_version"]) == ("First steps", 1)
        beside = subprocess.run(
            [ANNALS, "rebuild", "--from-git", "--data-dir", data],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "skipped: an earlier rebuild finished it" in beside.stdout


def test_each_setting_of_a_subscription_is_told_as_lost() -> None:
    settings = set(SubscriptionUpdate.model_fields) - {"name", "quotas"}
    assert settings
    for text in ("\n".join(LOST), (ROOT / "docs/operations/recovery.md").read_text()):
        assert {name for name in settings if f"`{name}`" not in text} == set()
