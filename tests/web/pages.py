"""Pages of Annals: the route of each, an address of it in the demo's story, and the right that it needs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi.routing import APIRoute

from service.domain.callers import Right, Role
from service.usecases.platform_overview import TenantOrder
from service.web import app
from service.web.gate import RESOURCE_PAGE
from tests.support.states import BUSY, CLOSED, NEW
from tests.support.story import Story
from tests.support.web import Browser, Page

_S = "/s/{subscription_id}"
# Pages that lead to another, and files.
LEADING = {
    *("/", f"{_S}/settings", "/static/{name}", f"{_S}/executions/tail/lines"),
    "/platform/subscriptions",
    *(f"{RESOURCE_PAGE}/versions/{{ref}}/document.json", f"{RESOURCE_PAGE}/compare/operations.json"),
}


@dataclass(frozen=True)
class Sent:
    """The form of a page by the end of its address, and values for which it is refused with a status."""

    action: str
    values: Mapping[str, str]
    status: int = 422

    def filled(self, story: Story) -> tuple[str, dict[str, Any]]:
        """Return the end of the address, and the values."""
        return story.path(self.action), {name: story.path(value) for name, value in self.values.items()}


@dataclass(frozen=True)
class Listed:
    """A page in a state; `is_of_tenant` tells if its address has a subscription.

    `right` is None for everybody; readers who lack it get `refusal`. `place` is the subscription of the story
    that the page is of. With `sent` it is what a refused form shows.
    """

    name: str
    route: str
    pattern: str
    right: Right | None
    status: int = 200
    refusal: int = 403
    place: str = ""
    sent: Sent | None = None
    # Each figure asks first which days are counted, and a list of executions is searched in windows of time.
    more: int = 0

    @property
    def is_of_tenant(self) -> bool:
        return self.route.startswith(_S)

    def is_for(self, role: str) -> bool:
        """Tell if users of a role see the page."""
        return self.right is None or Role(role).may(self.right)

    def status_for(self, role: str) -> int:
        """Status of the page for users of a role."""
        if self.is_for(role):
            return self.status
        return self.refusal if Role(role).may(Right.READ) or self.refusal == 303 else 403

    def reader(self) -> str:
        """Role that sees most of the page."""
        return next(role for role in ("admin", "operator") if self.is_for(role))

    @property
    def last_status(self) -> int:
        """Status of what is looked at: of the page, or of its refused form."""
        return self.status if self.sent is None else self.sent.status

    def path(self, story: Story) -> str:
        """Address of the page in a story."""
        return story.of(self.place).path(self.pattern)


def _of_resource(
    name: str, rest: str, resource: str, query: str = "", right: Right = Right.READ, ref: int = 3
) -> Listed:
    pattern = f"{{base}}/{{{resource}}}{rest.replace('{ref}', str(ref))}{query}"
    return Listed(name, RESOURCE_PAGE + rest, pattern, right)


def _of_purged(name: str, rest: str) -> Listed:
    return replace(_of_resource(name, rest, "purged", "", Right.READ_PURGED, 1), refusal=404)


def _of_tenant(name: str, rest: str, query: str = "", right: Right = Right.READ, more: int = 0) -> Listed:
    return Listed(name, _S + rest, f"{{base}}{rest}{query}", right, more=more)


def _of_deletion(name: str, rest: str, deletion: str, right: Right = Right.READ) -> Listed:
    pattern = f"{{base}}/deletions/{{{deletion}}}{rest}"
    return Listed(name, f"{_S}/deletions/{{deletion_id}}{rest}", pattern, right)


def _of_platform(name: str, rest: str, query: str = "", address: str = "") -> Listed:
    return Listed(name, f"/platform{rest}", f"/platform{address or rest}{query}", Right.MAINTAIN)


def _of_jobs(name: str, rest: str, address: str = "", query: str = "") -> Listed:
    pattern = f"/platform/jobs{address or rest}{query}"
    return Listed(name, f"/platform/jobs{rest}", pattern, Right.MAINTAIN)


# Each page as most people see it.
USUAL = (
    Listed("sign-in", "/sign-in", "/sign-in", None),
    Listed("sign-in-link", "/sign-in/link", "/sign-in/link", None),
    # Those who see no figures are led elsewhere.
    replace(_of_tenant("overview", "", "", Right.READ_FIGURES, more=6), refusal=303),
    _of_tenant("executions", "/executions", "", Right.READ_FIGURES, more=12),
    _of_tenant(
        "executions-of-one", "/executions", "?workflow_id={id_of_order_etl}", Right.READ_FIGURES, more=12
    ),
    Listed(
        "execution",
        f"{_S}/executions/{{execution_id:path}}",
        "{base}/executions/{execution}",
        Right.READ_LOGS,
    ),
    _of_tenant("tail", "/executions/tail", "", Right.READ_LOGS),
    _of_tenant("resources", "/resources"),
    _of_tenant("search", "/resources", "?q=or"),
    _of_tenant("branch", "/resources", "?under={kind_and_id_of_finance_operations}"),
    _of_tenant("new-resource", "/resources/new", "?kind=workflow&parent={kind_and_id_of_daily}", Right.WRITE),
    _of_resource("history", "", "order_etl"),
    _of_resource("history-of-n8n", "", "ticket_triage"),
    _of_resource("history-of-rules", "", "retention_rules"),
    _of_resource("history-of-states", "", "churn_score"),
    _of_resource("history-of-workspace", "", "finance_operations"),
    _of_resource("history-of-folder", "", "pipelines"),
    _of_resource("history-of-connector", "", "warehouse"),
    Listed("unknown", RESOURCE_PAGE, "{base}/workflows/nothing", Right.READ, 404),
    _of_resource("version", "/versions/{ref}", "order_etl"),
    replace(_of_resource("unknown-version", "/versions/{ref}", "order_etl", ref=999), status=404),
    _of_resource("check-out-of-another", "/check-out", "ticket_triage", "", Right.WRITE),
    _of_resource("compare", "/compare", "order_etl", "?from=3&to=8"),
    _of_resource("compare-lost-node", "/compare", "order_etl", "?from=3&to=4"),
    _of_resource("compare-n8n", "/compare", "ticket_triage", "?from=1&to=2"),
    _of_resource("compare-rules", "/compare", "retention_rules", "?from=1&to=2"),
    _of_resource("compare-equal", "/compare", "order_etl", "?from=3&to=3"),
    _of_resource("roll-back", "/roll-back", "order_etl", "?to=3", Right.WRITE),
    _of_resource("publish", "/publish", "order_etl", "?ref=8", Right.WRITE),
    _of_resource("unpublish", "/unpublish", "order_etl", "?ref=3", Right.WRITE),
    _of_resource("comments", "/versions/{ref}/comments", "order_etl", "", Right.WRITE),
    _of_resource("check-out", "/check-out", "order_etl", "", Right.WRITE),
    _of_resource("release", "/release", "ticket_triage", "", Right.WRITE),
    _of_resource("tag", "/versions/{ref}/tag", "order_etl", "", Right.WRITE),
    _of_resource("tag-of-none", "/versions/{ref}/tag", "order_etl", "", Right.WRITE, ref=8),
    _of_resource("delete", "/delete", "pipelines", "", Right.WRITE),
    _of_tenant("roll-back-many", "/roll-back", "?root={finance_operations}", Right.WRITE),
    _of_tenant("check-outs", "/check-outs"),
    _of_tenant("deletions", "/deletions"),
    _of_deletion("deletion", "", "deleted_old_ticket_export"),
    _of_deletion("restore", "/restore", "deleted_old_ticket_export", Right.WRITE),
    _of_deletion("purge", "/purge", "deleted_old_ticket_export", Right.PURGE),
    _of_tenant("audit", "/audit", "", Right.READ_LOGS),
    _of_tenant("changes", "/changes", "", Right.READ_LOGS),
    _of_tenant("server", "/server", "", Right.READ_LOGS),
    _of_tenant("users", "/settings/users", "", Right.READ_USERS),
    Listed("user", f"{_S}/settings/users/{{user_id}}", "{base}/settings/users/{user_ben}", Right.READ_USERS),
    Listed(
        "user-delete",
        f"{_S}/settings/users/{{user_id}}/delete",
        "{base}/settings/users/{user_ben}/delete",
        Right.MANAGE_USERS,
    ),
    Listed(
        "user-erase",
        f"{_S}/settings/users/{{user_id}}/erase-email",
        "{base}/settings/users/{user_ben}/erase-email",
        Right.ERASE,
    ),
    Listed(
        "key-delete",
        f"{_S}/settings/keys/{{key_id}}/delete",
        "{base}/settings/keys/{key_of_ben}/delete",
        Right.MANAGE_USERS,
    ),
    Listed("hold", f"{_S}/settings/holds/{{hold_id}}", "{base}/settings/holds/{hold}", Right.READ_HOLDS),
    _of_tenant("keys", "/settings/keys", "", Right.READ_USERS),
    _of_tenant("sessions", "/settings/sessions", "", Right.SEE_SUBSCRIPTION),
    _of_tenant("policy", "/settings/policy", "", Right.READ_LOGS),
    _of_tenant("holds", "/settings/holds", "", Right.READ_HOLDS),
    _of_tenant("subscription", "/settings/subscription", "", Right.SEE_SUBSCRIPTION),
    Listed("platform-sessions", "/platform/sessions", "/platform/sessions", Right.CREATE_SUBSCRIPTIONS),
    # With the figures of the time before, the activity of tenants, and how jobs are.
    Listed("platform", "/platform", "/platform", Right.READ_PLATFORM_LOGS, more=5),
    Listed("platform-new", "/platform/new", "/platform/new", Right.CREATE_SUBSCRIPTIONS),
    _of_platform("retention", "/retention"),
    _of_platform("retention-of-one", "/retention", "?subscription={subscription}&level=server"),
    _of_platform("archives", "/archives"),
    _of_platform("archive", "/archives/{archive_id}", address="/archives/{archive}"),
    _of_jobs("jobs", ""),
    _of_jobs("job", "/{name}", "/retention"),
    _of_jobs("job-run", "/runs/{run_id}", "/runs/{job_run}"),
    _of_jobs("job-plan", "/{name}/plans/{plan_id}", "/retention/plans/{job_plan}"),
    Listed(
        "platform-one", "/platform/{subscription_id}", "/platform/{subscription}", Right.CREATE_SUBSCRIPTIONS
    ),
)

_RULE = {"resource_type": "workflow", "action": "READ", "depth": "none", "do": "save", "seen": "another"}
_SCHEDULED = {"cron": "0 5 * * *", "cron_seen": "0 4 * * *"}
_RENAMED = {"name": "Mine", "name_seen": "Before"}
_STALE = {"seen": "{commit}"}
# Pages of the story as few people see them.
_RARE = (
    _of_tenant("search-without-results", "/resources", "?q=nothing+has+this+name"),
    _of_tenant("branch-of-a-workflow", "/resources", "?under={kind_and_id_of_order_etl}"),
    _of_resource("history-locked", "", "ticket_triage"),
    _of_resource("history-of-holder", "", "invoice_approval"),
    _of_resource("history-without-hits", "", "order_etl", "?author=nobody"),
    _of_resource("version-without-comments", "/versions/{ref}", "survey", ref=1),
    _of_resource("check-out-of-holder", "/check-out", "invoice_approval", "", Right.WRITE),
    _of_resource("release-of-holder", "/release", "invoice_approval", "", Right.WRITE),
    _of_resource("release-of-nobody", "/release", "order_etl", "", Right.WRITE),
    _of_resource("roll-back-locked", "/roll-back", "ticket_triage", "?to=1", Right.WRITE),
    _of_resource("roll-back-nothing", "/roll-back", "order_etl", "?to=current", Right.WRITE),
    _of_resource("publish-first", "/publish", "retention_rules", "?ref=2", Right.WRITE),
    _of_resource("publish-published", "/publish", "order_etl", "?ref=3", Right.WRITE),
    _of_resource("unpublish-nothing", "/unpublish", "survey", "", Right.WRITE),
    _of_resource("delete-locked", "/delete", "ticket_triage", "", Right.WRITE),
    _of_tenant("moment", "/roll-back", "?root={finance_operations}&to={moment}", Right.WRITE),
    _of_tenant("moment-of-commit", "/roll-back", "?root={finance_operations}&to={commit}", Right.WRITE),
    _of_tenant("moment-of-all", "/roll-back", "", Right.WRITE),
    _of_tenant("moment-locked", "/roll-back", "?root={customer_care}&to={moment_of_care}", Right.WRITE),
    _of_tenant("moment-nothing", "/roll-back", "?root={data_platform}&to={moment_of_now}", Right.WRITE),
    Listed(
        "moment-to-come",
        f"{_S}/roll-back",
        "{base}/roll-back?root={finance_operations}&to=2999-01-01T00%3A00%3A00Z",
        Right.WRITE,
        422,
    ),
    _of_tenant(
        "executions-older",
        "/executions",
        "?since=2026-01-01T00:00:00Z&status=failed",
        Right.READ_FIGURES,
        more=18,
    ),
    replace(
        _of_tenant("executions-of-nothing", "/executions", "?workflow_id=x", Right.READ_FIGURES), status=422
    ),
    _of_tenant("tail-of-errors", "/executions/tail", "?level=error", Right.READ_LOGS),
    _of_tenant("tail-of-one", "/executions/tail", "?workflow_id={id_of_order_etl}", Right.READ_LOGS),
    replace(_of_tenant("tail-of-nothing", "/executions/tail", "?level=x", Right.READ_LOGS), status=422),
    _of_tenant("audit-narrowed", "/audit", "?action=CREATE&action=UPDATE&reads=1&range=24h", Right.READ_LOGS),
    _of_tenant(
        "audit-without-hits", "/audit", "?request_id=none&since=2026-01-01T00:00:00Z", Right.READ_LOGS
    ),
    _of_tenant("changes-narrowed", "/changes", "?table_name=workflows&range=24h", Right.READ_LOGS),
    _of_tenant("changes-without-hits", "/changes", "?table_name=nothing", Right.READ_LOGS),
    _of_tenant("server-narrowed", "/server", "?status=2xx&range=24h", Right.READ_LOGS),
    _of_tenant("server-without-hits", "/server", "?request_id=none", Right.READ_LOGS),
    *(
        Listed(
            f"platform-by-{order}", "/platform", f"/platform?sort={order}", Right.READ_PLATFORM_LOGS, more=5
        )
        for order in TenantOrder
    ),
    _of_platform("archives-without-hits", "/archives", "?log=audit_logs"),
    _of_jobs("job-with-runs", "/{name}", "/clean-up"),
    _of_jobs("job-without-hits", "/{name}", "/clean-up", "?state=missed"),
    _of_tenant("deletions-without-hits", "/deletions", "?name=nothing+has+this+name"),
    _of_resource("history-of-deleted", "", "deleted"),
    _of_resource("version-of-deleted", "/versions/{ref}", "deleted", ref=1),
    _of_resource("compare-of-deleted", "/compare", "deleted", "?from=1&to=1"),
    replace(_of_resource("check-out-of-deleted", "/check-out", "deleted", "", Right.WRITE), status=409),
    _of_purged("history-of-purged", ""),
    _of_purged("version-of-purged", "/versions/{ref}"),
    _of_deletion("deletion-of-purged", "", "deletion_of_purged"),
    _of_deletion("deletion-of-restored", "", "deletion_of_restored"),
    _of_deletion("restore-of-restored", "/restore", "deletion_of_restored", Right.WRITE),
    _of_deletion("restore-with-conflict", "/restore", "deletion_of_replaced", Right.WRITE),
)


def _refused(name: str, of: str, action: str, values: Mapping[str, str], status: int = 422) -> Listed:
    """Make the state of a page whose form was refused."""
    usual = next(page for page in (*USUAL, *_RARE) if page.name == of)
    return replace(usual, name=name, sent=Sent(action, values, status))


_REFUSED = (
    _refused("sign-in-refused", "sign-in", "/sign-in", {"key": "none"}, 401),
    _refused("sign-in-link-refused", "sign-in-link", "/sign-in/link", {"token": "none"}, 401),
    _refused("new-resource-refused", "new-resource", "/workflows", {"name": "Next", "definition": "["}),
    _refused("roll-back-stale", "roll-back", "/roll-back", _STALE, 412),
    _refused("publish-stale", "publish", "/publish", _STALE, 412),
    _refused("unpublish-stale", "unpublish", "/unpublish", _STALE, 412),
    _refused("moment-stale", "moment", "/roll-back", {"shown": "", **_STALE}, 412),
    _refused("comment-refused", "comments", "/comments", {"text": " "}),
    _refused("check-out-refused", "check-out", "/check-out", {"reason": "r" * 10_001}),
    _refused("tag-refused", "tag", "/tag", {"tag": "no tag"}),
    _refused("tag-taken", "tag-of-none", "/tag", {"tag": "{tag}"}, 409),
    _refused("delete-refused", "delete", "/delete", {"restore_days": "0"}),
    _refused("users-refused", "users", "/settings/users", {"username": "a b"}),
    _refused("user-refused", "user", "/{user_ben}", {"email": "nobody"}),
    _refused("keys-refused", "keys", "/settings/keys", {"name": "laptop", "expires_in_days": "0"}),
    _refused("policy-stale", "policy", "/settings/policy", _RULE, 412),
    _refused("subscription-stale", "subscription", "/settings/subscription", _RENAMED, 412),
    _refused("platform-stale", "platform-one", "{subscription}", _RENAMED, 412),
    _refused("retention-refused", "retention", "/retention", {"server": "none", "node": "0"}),
    _refused("retention-unconfirmed", "retention", "/retention", {"data_changes": "30"}),
    _refused("retention-stale", "retention", "/retention", {"server": "30", "server_seen": "40"}, 412),
    _refused("retention-of-one-refused", "retention-of-one", "/server", {"server": "36501"}),
    _refused("job-refused", "job", "/jobs/retention", {"cron": "at noon"}),
    _refused("job-stale", "job", "/jobs/retention", _SCHEDULED, 412),
    _refused("holds-refused", "holds", "/settings/holds", {"reason": " "}),
    _refused("hold-refused", "hold", "/release", {"reason": " "}),
    _refused("platform-refused", "platform-new", "/platform/new", {"name": "Next", "username": "a b"}),
    _refused("close-refused", "platform-one", "/close", {"reason": "Over", "typed_name": "Another"}),
)


def _in(place: str, *names: str) -> tuple[Listed, ...]:
    """List pages as they are in another subscription of the story."""
    return tuple(
        replace(page, name=f"{page.name}-{place}", place=place) for page in USUAL if page.name in names
    )


_OTHERS = (
    *_in(
        NEW,
        "overview",
        "resources",
        "check-outs",
        "deletions",
        "users",
        "keys",
        "sessions",
        "policy",
        "holds",
    ),
    *_in(NEW, "platform-one"),
    *_in(
        CLOSED,
        "overview",
        "resources",
        "history",
        "version",
        "compare",
        "check-outs",
        "deletions",
        "deletion",
    ),
    *_in(CLOSED, "users", "user", "keys", "sessions", "policy", "holds", "platform-one"),
    *_in(BUSY, "resources", "purge"),
    replace(_of_resource("version-too-long", "/versions/{ref}", "large", ref=2), place=BUSY),
    *(
        Listed(f"second-{noun}", route, f"{{second_{noun}}}", right, place=BUSY)
        for noun, route, right in (
            ("history", RESOURCE_PAGE, Right.READ),
            ("comments", f"{RESOURCE_PAGE}/versions/{{ref}}", Right.READ),
            ("branch", f"{_S}/resources", Right.READ),
            ("check_outs", f"{_S}/check-outs", Right.READ),
            ("deletions", f"{_S}/deletions", Right.READ),
            ("users", f"{_S}/settings/users", Right.READ_USERS),
        )
    ),
    replace(
        next(page for page in USUAL if page.name == "purge"),
        name="purge-refused",
        place=BUSY,
        sent=Sent("/purge", {"name": "Another"}),
    ),
)

PAGES = (*USUAL, *_RARE, *_REFUSED, *_OTHERS)
# What a browser looks at, which takes a second each: with ANNALS_TEST_STATES also the rare states.
SEEN = PAGES if os.environ.get("ANNALS_TEST_STATES") else USUAL


class Browsers:
    """A browser without scripts for each subscription and role, signed in where a page needs it first."""

    def __init__(self, story: Story, **headers: str) -> None:
        self._story = story
        self._headers = headers
        self._found: dict[tuple[str, str], Browser] = {}

    def of(self, place: str, role: str) -> Browser:
        """Return the browser of a role in a subscription of the story."""
        found = self._found.get((place, role))
        if found is None:
            story = self._story.of(place)
            found = Browser(story.server, **self._headers).sign_in(story.caller(role))
            self._found[place, role] = found
        return found

    def look_at(self, page: Listed) -> Page:
        """Get a page, or what its refused form shows, as somebody who sees most of it."""
        browser = self.of(page.place, page.reader())
        found = browser.see(page.path(self._story), page.status)
        if page.sent is None:
            return found
        action, values = page.sent.filled(self._story.of(page.place))
        (form,) = (each for each in found.forms if each.method == "POST" and each.action.endswith(action))
        found = browser.send(form, **values)
        assert found.status == page.last_status, found.words
        return found


def routes() -> set[str]:
    """Paths of all GET routes of the pages."""
    return {
        route.path
        for router in app.ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
