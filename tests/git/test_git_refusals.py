"""Refusals as the real git shows them to its user."""

from pathlib import Path

from tests.support.api import OPERATOR_KEY, UNKNOWN, Caller, Tenant, ok, run_git
from tests.support.databases import Cluster
from tests.support.serving import serving


def said(home: Path, url: str, *command: str) -> list[str]:
    """Return what git prints while it fails, line by line."""
    done = run_git(home, *(command or ("clone", url, "clone")), check=False)
    assert done.returncode != 0
    return done.stderr.decode().splitlines()


def test_a_role_that_may_not_clone_is_told_so(tenant: Tenant, home: Path) -> None:
    lines = said(home, tenant.clone_url(Caller(tenant.server, OPERATOR_KEY)))
    [told] = [line for line in lines if "may not" in line]
    assert told.startswith("remote: The role operator may not")
    assert any(line.startswith("remote: (forbidden, request ") for line in lines)


def test_an_unknown_repository_is_told_apart_from_a_bad_key(tenant: Tenant, home: Path) -> None:
    url = tenant.clone_url(tenant.ana)
    assert "remote: There is no such subscription for this key." in said(
        home, url.replace(tenant.subscription_id, UNKNOWN)
    )
    assert "remote: The API key is not known here." in said(
        home, tenant.clone_url(Caller(tenant.server, "bad"))
    )
    assert "remote: Nothing is served at this address." in said(home, url.replace(".git", ".it"))


def test_a_push_is_told_where_to_turn(tenant: Tenant, home: Path) -> None:
    tenant.workflow()
    clone = tenant.clone(home / "clone")
    for command in (("push", "origin", "main"), ("push", "--force", "--all"), ("push", "origin", ":main")):
        assert "remote: Annals takes no pushes: change resources through the API." in said(
            clone, "", *command
        )


def test_a_limit_is_told_with_the_seconds_to_wait(cluster: Cluster, home: Path) -> None:
    with serving(cluster, home / "data", subscription_rate="1/hour") as server:
        tenant = Tenant(server)
        ok(tenant.ana.get("/v1/whoami"))
        lines = said(home, tenant.clone_url(tenant.ana))
    [told] = [line for line in lines if "permitted in 3600 s: try again in" in line]
    assert told.startswith("remote: The keys of this subscription have made the 1 calls")


def test_a_refusal_in_the_midst_of_a_clone_shows_its_status_alone(cluster: Cluster, home: Path) -> None:
    # git prints no body of an answer to its second request and later ones.
    with serving(cluster, home / "data", subscription_rate="6/hour") as server:
        tenant = Tenant(server)
        tenant.workflow()
        lines = said(home, tenant.clone_url(tenant.ana))
    assert any("HTTP 429" in line for line in lines)


def test_a_database_that_is_away_is_told(cluster: Cluster, home: Path) -> None:
    with serving(cluster, home / "data") as server:
        tenant = Tenant(server)
        tenant.workflow()
        url = tenant.clone_url(tenant.ana)
        cluster.drop(server.database)
        lines = said(home, url)
    assert any(line.startswith("remote: (database_unavailable, request ") for line in lines)
