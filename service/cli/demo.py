"""Users edit workflows over HTTP, by the calls that any client would make."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.cli import demo_departments, demo_week
from service.cli.client import Client
from service.cli.demo_documents import Say, document, node

PEOPLE = (("ana", "admin"), ("ben", "editor"), ("eva", "editor"), ("vera", "viewer"), ("aud", "auditor"))


@dataclass(frozen=True)
class Told:
    """Subscription of a story that was told, with the key of each user by name."""

    subscription_id: str
    keys: Mapping[str, str]


def tell(url: str, operator_key: str, say: Say) -> Told:
    """Play the story and report each step; raises ApiError where the server refuses or does not answer."""
    with _client(url, operator_key) as operator:
        subscription = operator.post("/v1/subscriptions", {"name": "Demo: Kiln Ltd"})
        base = f"/v1/subscriptions/{subscription['subscription_id']}"
        keys = {name: _user(operator, base, name, role) for name, role in PEOPLE}
    users = ", ".join(f"{name} ({role})" for name, role in PEOPLE)
    say(f"A subscription, {subscription['subscription_id']}, with its users: {users}.")
    with ExitStack() as stack:
        clients = {name: stack.enter_context(_client(url, key)) for name, key in keys.items()}
        ana, ben = clients["ana"], clients["ben"]
        etl, etl_version = _play(ana, ben, base, say)
        _publish(ana, f"{base}/workflows/{etl}", say)
        _restructure(ana, ben, base, say)
        demo_departments.play(clients, base, say)
        _watch_the_load(ben, f"{base}/workflows/{etl}", say)
        demo_week.play(ben, base, say)
        history = ana.get(f"{base}/workflows/{etl}/versions")["items"]
        events = ana.get(f"{base}/audit-logs?limit=200")["items"]
    say("")
    say("The history of Order ETL, newest first:")
    for version in history:
        marks = [version["version_tag"], "published" if version["is_published"] else None]
        shown = ", ".join(filter(None, marks))
        tag = f" [{shown}]" if shown else ""
        say(
            f"  v{version['version_number']}  {version['git_commit_hash'][:10]}  "
            f"by {version['created_by_username']}{tag}"
        )
    last = events[0]
    say(f"The audit log has {len(events)} events, the last one {last['action']} by {last['username']}.")
    clone = subscription["git_url"].replace("://", f"://ana:{keys['ana']}@", 1)
    say("")
    say("Look at it in a browser; each user has a key, which signs in and tells what the role may do:")
    say(f"  {url}/sign-in")
    for name, role in PEOPLE:
        say(f"  {name:<5}{role:<8} {keys[name]}")
    say("")
    say("See it yourself:")
    say(f"  git clone {shlex.quote(clone)} annals-demo")
    say("  git -C annals-demo log --stat")
    say(f"  git -C annals-demo log -p -- 'workflows/*/{etl}.json'")
    say("  git -C annals-demo diff --stat origin/published origin/main")
    command = shlex.quote(str(Path(sys.executable).with_name("annals")))
    say(f"  ANNALS_URL={url} ANNALS_KEY={keys['ana']} {command} version log workflows/{etl}")
    say(f"  curl -H 'Authorization: Bearer {keys['ana']}' {url}{base}/workflows/{etl}/versions/{etl_version}")
    say(f"  curl -H 'Authorization: Bearer {keys['ana']}' {url}{base}/audit-logs")
    return Told(subscription["subscription_id"], keys)


def _play(ana: Client, ben: Client, base: str, say: Say) -> tuple[str, int]:
    """Make the edits; returns the id and last version number of the order ETL."""
    workspace = ana.post(f"{base}/workspaces", {"name": "Finance operations"})["resource_id"]
    folder = ana.post(f"{base}/folders", {"workspace_id": workspace, "name": "Pipelines"})["resource_id"]
    job = ana.post(f"{base}/jobs", {"folder_id": folder, "name": "Daily"})["resource_id"]
    flows = {}
    for name in ("order_etl", "invoice_approval", "nightly_export"):
        definition = document(name)
        body = {"job_id": job, "name": definition["title"], "definition": definition}
        flows[name] = ana.post(f"{base}/workflows", body)["resource_id"]
    say("ana makes a workspace, a folder, a job and three workflows: each is version 1, and a commit.")

    etl = f"{base}/workflows/{flows['order_etl']}"
    edit = ben.post(f"{etl}/check-out", {"reason": "larger batches"})["data"]
    node(edit, "extract")["batch_size"] = 2000
    edit["retry"]["attempts"] = 5
    saved = ben.post(f"{etl}/check-in", {"data": edit, "comment": "Larger batches, two more attempts"})
    say(f"ben checks Order ETL out, edits it and checks it in: version {saved['version_number']}.")

    edit = ana.post(f"{etl}/check-out")["data"]
    node(edit, "convert")["precision"] = 4
    edit["nodes"].append(
        {
            "id": "audit-copy",
            "type": "load",
            "position": {"x": -260, "y": 720},
            "data": {"label": "Audit copy", "connector": "lake", "path": "audit/orders/{date}.parquet"},
        }
    )
    edit["edges"].append({"id": "deduplicate-audit-copy", "source": "deduplicate", "target": "audit-copy"})
    saved = ana.post(f"{etl}/check-in", {"data": edit, "comment": "Keep an audit copy", "tag": "v1.0"})
    say(f"ana adds a node to it and tags version {saved['version_number']} as v1.0.")

    approval = f"{base}/workflows/{flows['invoice_approval']}"
    edit = ben.post(f"{approval}/check-out")["data"]
    node(edit, "amount")["cases"][1]["if"] = "total <= 10000"
    ben.post(f"{approval}/check-in", {"data": edit, "comment": "Managers approve up to 10,000"})
    export = f"{base}/workflows/{flows['nightly_export']}"
    edit = ana.post(f"{export}/check-out")["data"]
    node(edit, "mask")["columns"]["address"] = "drop"
    ana.post(f"{export}/check-in", {"data": edit, "comment": "Addresses leave the export", "tag": "2026-q4"})
    say("ben lowers a limit in Invoice approval; ana drops a column from Nightly export.")

    edit = ben.post(f"{etl}/check-out")["data"]
    edit["nodes"] = [node for node in edit["nodes"] if node["id"] != "validate"]
    ben.post(f"{etl}/check-in", {"data": edit, "comment": "Skip validation"})
    back = ana.post(f"{etl}/rollback", {"to": "v1.0", "comment": "Validation has to stay"})
    say(
        "ben removes the validation from Order ETL; "
        f"ana rolls back to v1.0: that is version {back['version_number']}, and nothing was erased."
    )
    return flows["order_etl"], back["version_number"]


def _publish(ana: Client, etl: str, say: Say) -> None:
    """Publish a version, and show its diff to the version before."""
    published = ana.post(f"{etl}/versions/v1.0/publish")
    ana.post(f"{etl}/versions/v1.0/comments", {"text": "Live since the October close."})
    say(f"ana publishes version {published['version_number']}: the branch `published` holds what runs.")
    difference = ana.get(f"{etl}/diff?from=2&to=v1.0")
    say("")
    say(f"What v1.0 changed, as a patch of {len(difference['json_patch'])} operations and as text:")
    for line in difference["text"].splitlines()[2:14]:
        say(f"  {line}")
    say("  …")
    say("")


def _restructure(ana: Client, ben: Client, base: str, say: Say) -> None:
    """Make many changes in one commit, and roll them all back by one call."""
    workspace = ana.get(f"{base}/workspaces?name=Finance%20operations")["items"][0]["resource_id"]
    flows = ana.get(f"{base}/workflows")["items"]
    items = []
    for flow in flows:
        definition = ana.get(f"{base}/workflows/{flow['resource_id']}")["definition"]
        definition["owner"] = "nobody"
        item = {"resource_type": "workflow", "resource_id": flow["resource_id"], "data": definition}
        items.append(item | {"if_match": flow["git_commit_hash"]})
    before = max(flow["updated_at"] for flow in flows)
    bulk = ben.post(f"{base}/check-ins", {"items": items, "comment": "New owner everywhere"})
    say(f"ben changes the owner of {len(bulk['versions'])} workflows in one commit, {bulk['commit'][:10]}.")
    target = {"to": before, "workspace_id": workspace}
    foreseen = ana.post(f"{base}/rollback", target | {"dry_run": True})
    say(f"ana asks what a rollback of the workspace would do: {len(foreseen['versions'])} resources change.")
    done = ana.post(f"{base}/rollback", target | {"comment": "The owner was wrong"})
    say(
        f"She does it: {len(done['versions'])} new versions in one commit, {done['commit'][:10]}; "
        "what ben did stays in the history."
    )


def _watch_the_load(ben: Client, etl: str, say: Say) -> None:
    """Give the order ETL its last version: a node between two others, and another limit."""
    edit = ben.post(f"{etl}/check-out", {"reason": "a load failed, and nobody saw it"})["data"]
    edit["nodes"].append(
        {
            "id": "count",
            "type": "check",
            "position": {"x": 260, "y": 780},
            "data": {"label": "Count the rows", "at_least": 1},
        }
    )
    edit["edges"].append({"id": "load-count", "source": "load", "target": "count"})
    edit["retry"]["attempts"] = 4
    saved = ben.post(f"{etl}/check-in", {"data": edit, "comment": "Count the rows after the load"})
    say(f"ben adds a check to Order ETL: version {saved['version_number']} is not published yet.")


@contextmanager
def _client(url: str, key: str) -> Iterator[Client]:
    client = Client(url, key)
    try:
        yield client
    finally:
        client.close()


def _user(operator: Client, base: str, username: str, role: str) -> str:
    body = {"username": username, "email": f"{username}@kiln.example", "role": role}
    user = operator.post(f"{base}/users", body)
    key: str = operator.post(f"{base}/api-keys", {"user_id": user["user_id"], "name": "demo"})["api_key"]
    return key
