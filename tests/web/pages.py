"""Pages of Annals: the route of each, an address of it in the demo's story, and the right that it needs."""

from dataclasses import dataclass

from fastapi.routing import APIRoute

from service.domain.callers import Right, Role
from service.web import app
from service.web.gate import RESOURCE_PAGE

_S = "/s/{subscription_id}"
# Pages that lead to another, and files.
LEADING = {
    *("/", _S, f"{_S}/settings", "/static/{name}"),
    *(f"{RESOURCE_PAGE}/versions/{{ref}}/document.json", f"{RESOURCE_PAGE}/compare/operations.json"),
}


@dataclass(frozen=True)
class Listed:
    """A page. `right` is None for everybody, `is_of_tenant` tells if its address has a subscription."""

    name: str
    route: str
    pattern: str
    right: Right | None
    status: int = 200

    @property
    def is_of_tenant(self) -> bool:
        return self.route.startswith(_S)

    def is_for(self, role: str) -> bool:
        """Tell if users of a role see the page."""
        return self.right is None or Role(role).may(self.right)

    def reader(self) -> str:
        """Role that sees most of the page."""
        return next(role for role in ("admin", "operator") if self.is_for(role))


def _of_resource(name: str, rest: str, resource: str, query: str = "", right: Right = Right.READ) -> Listed:
    pattern = f"{{base}}/{{{resource}}}{rest.replace('{ref}', '3')}{query}"
    return Listed(name, RESOURCE_PAGE + rest, pattern, right)


def _of_tenant(name: str, rest: str, query: str = "", right: Right = Right.READ) -> Listed:
    return Listed(name, _S + rest, f"{{base}}{rest}{query}", right)


PAGES = (
    Listed("sign-in", "/sign-in", "/sign-in", None),
    Listed("sign-in-link", "/sign-in/link", "/sign-in/link", None),
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
    Listed(
        "unknown-version",
        f"{RESOURCE_PAGE}/versions/{{ref}}",
        "{base}/{order_etl}/versions/999",
        Right.READ,
        404,
    ),
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
    _of_resource("delete", "/delete", "pipelines", "", Right.WRITE),
    _of_tenant("roll-back-many", "/roll-back", "?root={finance_operations}", Right.WRITE),
    _of_tenant("check-outs", "/check-outs"),
    _of_tenant("deletions", "/deletions"),
    Listed(
        "deletion",
        f"{_S}/deletions/{{deletion_id}}",
        "{base}/deletions/{deleted_old_ticket_export}",
        Right.READ,
    ),
    Listed(
        "restore",
        f"{_S}/deletions/{{deletion_id}}/restore",
        "{base}/deletions/{deleted_old_ticket_export}/restore",
        Right.WRITE,
    ),
    Listed(
        "purge",
        f"{_S}/deletions/{{deletion_id}}/purge",
        "{base}/deletions/{deleted_old_ticket_export}/purge",
        Right.PURGE,
    ),
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
    Listed("platform", "/platform", "/platform", Right.CREATE_SUBSCRIPTIONS),
    Listed(
        "platform-one", "/platform/{subscription_id}", "/platform/{subscription}", Right.CREATE_SUBSCRIPTIONS
    ),
)


def routes() -> set[str]:
    """Paths of all GET routes of the pages."""
    return {
        route.path
        for router in app.ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
