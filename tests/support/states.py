"""States that the demo's story lacks: a subscription that is new, one that was closed, and long lists."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote
from uuid import uuid4

from jobs.runner import Runner
from tests.support.api import Caller, Server, Tenant, ok
from tests.support.closings import closed
from tests.support.executions import run
from tests.support.expired_logs import Logs
from tests.support.job_runs import job_context
from tests.support.story import PERSON_OF, Story
from tests.support.web import Browser

NEW, CLOSED, BUSY = "new", "closed", "busy"
VERSIONS = 8
# One row more than a page of each list has.
LATE_VERSIONS, COMMENTS, CHECK_OUTS, DELETIONS, BRANCH = 26, 21, 51, 26, 101
USERS = 51
SENDERS = 8
# Lines of a document, of which a page shows the beginning.
STEPS = 8000

Made = TypeVar("Made")


def with_others(story: Story, name: str = "Kiln", text: str = "A draft of this month") -> Story:
    """Add what is rare to a story, and other subscriptions; `name` and `text` stand in all that they show."""
    ana, path = story.caller("admin"), f"/v1/subscriptions/{story.subscription_id}"
    names = story.names | _moments(story, ana, path) | _rare(ana, path, story.names, name, text)
    # A hold forbids to delete for good, as the rare names need it.
    names["hold"] = ok(ana.post(f"{path}/holds", {"reason": text}), 201)["hold_id"]
    names["id_of_order_etl"] = names["order_etl"].partition("/")[2]
    names["execution"] = _ran(story, ana, path, names, name)
    names |= _jobs(story)
    others = {NEW: _new(story, name), CLOSED: _closed(story, name, text), BUSY: _busy(story, name, text)}
    return replace(story, names=names, others=others)


def _ran(story: Story, ana: Caller, path: str, names: Mapping[str, str], name: str) -> str:
    """Run two versions of a workflow, of which one makes it worse; returns the last execution."""
    workflow_id = names["order_etl"].partition("/")[2]
    now = story.server.clock()
    last = ""
    for number in range(12):
        is_worse = number >= 6
        last = f"run {number} of {name}"[:200]
        run(
            path,
            ana,
            workflow_id,
            last,
            now - timedelta(hours=12 * (12 - number)),
            "failed" if is_worse else "success",
            3_000 + 100 * number,
            nodes=("extract", "convert", name[:200]),
            code="TIMEOUT" if is_worse else None,
            text=f"It went on with {name}",
            version_number=3 if is_worse else 2,
        )
    return quote(last, safe="")


def _jobs(story: Story) -> dict[str, str]:
    """Run a scheduled job, and plan a run of another."""
    server, path = story.server, "/v1/maintenance"
    with job_context(server) as context:
        Runner(context).run_slots("clean-up", [server.clock()])
    Logs(server).add("server_logs", server.clock() - timedelta(days=100), number=7)
    [run] = ok(server.operator.get(f"{path}/runs?job=clean-up"))["items"]
    plan = ok(server.operator.post(f"{path}/jobs/retention/run", {"dry_run": True}))
    return {"job_run": run["run_id"], "job_plan": plan["plan_id"], "archive": _archived(server)}


def _archived(server: Server) -> str:
    """Record an archive, whose file nobody has; returns its id."""
    archive_id, at = str(uuid4()), server.clock()
    with server.database.connection() as connection:
        connection.execute(
            "INSERT INTO archives (archive_id, log, range_start, range_end, rows, bytes, sha256, location,"
            " made_at) VALUES (%s, 'server_logs', %s, %s, 1200, 88000, %s, %s, %s)",
            [
                *(archive_id, at - timedelta(days=91), at - timedelta(days=90), "0" * 64),
                *(f"file:///var/archive/server_logs/{archive_id}.ndjson.zst", at),
            ],
        )
    return archive_id


def _moments(story: Story, ana: Caller, path: str) -> dict[str, str]:
    """Name a deleted resource, a tag, and moments: one of now, and others since which something changed."""
    of_etl = ok(ana.get(f"{path}/{story.names['order_etl']}/versions"))["items"]
    of_triage = ok(ana.get(f"{path}/{story.names['ticket_triage']}/versions"))["items"]
    deletion = ok(ana.get(f"{path}/deletions/{story.names['deleted_old_ticket_export']}"))
    return {
        "deleted": f"workflows/{deletion['resource_id']}",
        "moment_of_now": _address(story.server.clock()),
        "moment": _address(datetime.fromisoformat(of_etl[-2]["created_at"])),
        "commit": of_etl[-2]["git_commit_hash"],
        "moment_of_care": _address(datetime.fromisoformat(of_triage[-1]["created_at"])),
        "tag": of_etl[-3]["version_tag"],
    }


def _address(moment: datetime) -> str:
    """Write a moment as the addresses of pages have it."""
    return quote(moment.astimezone(UTC).isoformat().replace("+00:00", "Z"))


def _rare(ana: Caller, path: str, names: Mapping[str, str], name: str, text: str) -> dict[str, str]:
    """Make what is rare in a subscription; returns the names that paths of pages have for it.

    The admin has a check-out. A workflow was deleted for good, one was restored, and one can't be restored
    since another has its name.
    """

    def made(word: str) -> str:
        body = {"name": f"{word} of {name}", "definition": {"steps": [text]}, "description": text}
        place = {"job_id": names["daily"].removeprefix("jobs/")}
        return f"workflows/{ok(ana.post(f'{path}/workflows', body | place), 201)['resource_id']}"

    def deleted(resource: str) -> str:
        return str(ok(ana.delete(f"{path}/{resource}", params={"reason": text}))["deletion_id"])

    ok(ana.post(f"{path}/{names['invoice_approval']}/check-out", {"reason": text}))
    purged = made("Old draft")
    deletion_of_purged = deleted(purged)
    ok(ana.delete(f"{path}/{purged}", params={"permanent": True, "reason": text}))
    deletion_of_restored = deleted(made("Second draft"))
    ok(ana.post(f"{path}/deletions/{deletion_of_restored}/restore"))
    replaced = made("Draft")
    deletion_of_replaced = deleted(replaced)
    made("Draft")
    return {
        "purged": purged,
        "deletion_of_purged": deletion_of_purged,
        "deletion_of_restored": deletion_of_restored,
        "replaced": replaced,
        "deletion_of_replaced": deletion_of_replaced,
    }


def _tenant(story: Story, name: str, roles: tuple[str, ...]) -> tuple[Tenant, Story]:
    tenant = Tenant(story.server, name)
    keys = {PERSON_OF[role]: str(tenant.caller(PERSON_OF[role]).key) for role in roles}
    names = {"subscription": tenant.subscription_id}
    return tenant, Story(story.server, tenant.subscription_id, keys, names)


def _new(story: Story, name: str) -> Story:
    """Make a subscription as the operator does, with an admin alone."""
    return _tenant(story, f"New {name}", ("admin",))[1]


def _closed(story: Story, name: str, text: str) -> Story:
    """Make a small subscription and close it."""
    tenant, made = _tenant(story, f"Closed {name}", tuple(PERSON_OF))
    etl = tenant.workflow(name=f"Order ETL {name}", definition={"steps": [text]}, description=text)
    for version in range(2, VERSIONS + 1):
        tenant.save(etl, {"steps": [text, version]}, description=text)
    ok(tenant.ana.post(f"{tenant.at(etl)}/versions/3/publish"))
    tenant.check_out(etl, tenant.ben, reason=text)
    deletion = tenant.remove(tenant.workflow(name=f"Old {name}"), reason=text)
    closed(tenant)
    names = made.names | {
        "order_etl": f"workflows/{etl['resource_id']}",
        "deleted_old_ticket_export": deletion["deletion_id"],
        "user_ben": tenant.ben.user_id,
    }
    return replace(made, names=names)


def _busy(story: Story, name: str, text: str) -> Story:
    """Make a subscription whose long lists have a second page."""
    tenant, made = _tenant(story, f"Busy {name}", ("admin",))
    ana, ben, place = tenant.ana, tenant.ben, {"job_id": tenant.job_id}
    with ThreadPoolExecutor(SENDERS) as pool:

        def all_of(count: int, make: Callable[[int], Made]) -> list[Made]:
            return list(pool.map(make, range(count)))

        flows = all_of(
            BRANCH + DELETIONS,
            lambda number: tenant.workflow(name=f"{number} {name}", definition={"steps": [text]}, **place),
        )
        long = flows[-1]
        for version in range(LATE_VERSIONS):
            tenant.save(long, {"steps": [text, version]}, description=text)
        large = flows[-2]
        tenant.save(large, {"steps": [f"{step} {text}" for step in range(STEPS)]})
        comments = f"{tenant.at(long)}/versions/2/comments"
        all_of(COMMENTS, lambda _: ok(ana.post(comments, {"text": text}), 201))
        deletions = all_of(DELETIONS, lambda number: tenant.remove(flows[number], reason=text))
        all_of(CHECK_OUTS, lambda number: tenant.check_out(flows[DELETIONS + number], ben, reason=text))
        all_of(USERS, lambda number: _user(tenant, f"user-{number}"))
    own = f"workflows/{long['resource_id']}"
    base = f"/s/{tenant.subscription_id}"
    seconds = {
        "history": (f"{base}/{own}", "Older versions"),
        "comments": (f"{base}/{own}/versions/2", "Older comments"),
        "check_outs": (f"{base}/check-outs", "Older"),
        "deletions": (f"{base}/deletions", "Older"),
        "users": (f"{base}/settings/users", "Older"),
    }
    browser = Browser(story.server).sign_in(tenant.ana)
    names = made.names | {
        "order_etl": own,
        "large": f"workflows/{large['resource_id']}",
        "deleted_old_ticket_export": deletions[0]["deletion_id"],
        **{f"second_{noun}": browser.see(path).link(words) for noun, (path, words) in seconds.items()},
        "second_branch": _more(browser, f"{base}/resources?under=job/{tenant.job_id}"),
    }
    return replace(made, names=names)


def _more(browser: Browser, path: str) -> str:
    (found,) = (each for each in browser.see(path).links if "cursor=" in each)
    return found


def _user(tenant: Tenant, name: str) -> None:
    body = {"username": name, "email": f"{name}@example.org", "role": "viewer"}
    ok(tenant.ana.post(f"{tenant.path}/users", body), 201)
