"""A subscription in which every field that a page shows has text that means harm, or is hard to show."""

from itertools import pairwise

from tests.support.api import Caller, Json, Server, Tenant, ok
from tests.support.states import with_others
from tests.support.story import PERSON_OF, Story, key_of

MARKUP = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
# A letter of four bytes, text that turns the direction, and letters that have no width.
ODD = "𝕏🙂\u202etxt.exe\u202c z\u200be\u200bro"
LONG = "W" * 120
# Names hold no letters of control and of format.
NAME = f"{MARKUP}𝕏🙂{LONG}"
TEXT = f"{MARKUP}{ODD}{LONG}"
LONGEST = f"{MARKUP}{ODD}{'V' * 500}"
TAG = "t" * 60
VERSIONS = 8


def hostile(server: Server) -> Story:
    """Make the subscription; its resources have the names in the paths of the demo's story."""
    tenant = Tenant(server, NAME)
    ana, ben = tenant.ana, tenant.ben
    made = {
        "finance_operations": tenant.make("workspaces", name=NAME, description=LONGEST),
        "warehouse": tenant.make("connectors", name=NAME, definition={TEXT: LONGEST}),
    }
    inside = {"workspace_id": made["finance_operations"]["resource_id"]}
    made["pipelines"] = tenant.make("folders", name=NAME, **inside)
    made["daily"] = tenant.make("jobs", name=NAME, folder_id=made["pipelines"]["resource_id"])
    made["data_platform"] = made["finance_operations"]
    made["customer_care"] = tenant.make("workspaces", name=f"Care {NAME}")
    care = {"workspace_id": made["customer_care"]["resource_id"]}
    tickets = {"folder_id": tenant.make("folders", name=NAME, **care)["resource_id"]}
    where = {"job_id": made["daily"]["resource_id"], "description": LONGEST}
    in_care = where | {"job_id": tenant.make("jobs", name=NAME, **tickets)["resource_id"]}
    for number, name in enumerate(("order_etl", "ticket_triage", "retention_rules", "churn_score")):
        place = in_care if name == "ticket_triage" else where
        made[name] = tenant.make("workflows", name=f"{number} {NAME}", definition=_document(0), **place)
    made["refund_approval"] = made["survey"] = made["nightly_export"] = made["order_etl"]
    made["invoice_approval"] = made["churn_score"]
    for name in ("order_etl", "ticket_triage", "retention_rules", "churn_score"):
        at = tenant.at(made[name])
        for version in range(1, VERSIONS):
            body = {"data": _document(version), "description": LONGEST}
            ok(ben.post(f"{at}/versions", body), 201)
        ok(ana.put(f"{at}/versions/3/tag", {"tag": TAG}))
        ok(ana.post(f"{at}/versions/3/comments", {"text": LONGEST}), 201)
        ok(ana.post(f"{at}/versions/3/publish"))
    ok(ben.post(f"{tenant.at(made['ticket_triage'])}/check-out", {"reason": LONGEST[:500]}))
    doomed = tenant.make("workflows", name=f"9 {NAME}", definition=_document(1), **where)
    deletion = tenant.remove(doomed, reason=LONGEST[:500])
    names = {"subscription": tenant.subscription_id, "deleted_old_ticket_export": deletion["deletion_id"]}
    for name, resource in made.items():
        kind = resource["resource_type"]
        names[name] = f"{kind}s/{resource['resource_id']}"
        names[f"kind_and_id_of_{name}"] = f"{kind}/{resource['resource_id']}"
    callers = {"vera": tenant.vera, "ben": ben, "aud": tenant.aud, "ana": ana}
    for caller in callers.values():
        _key(tenant, caller)
    names["user_ben"] = str(ben.user_id)
    names["key_of_ben"] = key_of(ana, tenant.path, str(ben.user_id))
    keys = {PERSON_OF[role]: str(callers[PERSON_OF[role]].key) for role in PERSON_OF}
    return with_others(Story(server, tenant.subscription_id, keys, names), NAME, LONGEST[:500])


def _document(version: int) -> Json:
    """A workflow whose nodes, connections, keys and values change by version."""
    nodes = [
        {
            "id": f"n{number} {MARKUP}",
            "type": TEXT,
            "position": {"x": 0, "y": 120 * number},
            "data": {"label": f"{number} {TEXT}", TEXT: LONGEST, "version": version * (number == 1)},
        }
        for number in range(3 + version % 2)
    ]
    edges = [
        {"id": f"e{number}", "source": one["id"], "target": two["id"], "label": f"{version} {TEXT}"}
        for number, (one, two) in enumerate(pairwise(nodes))
    ]
    edges.append({"id": "nowhere", "source": nodes[0]["id"], "target": TEXT, "label": TEXT})
    return {"title": TEXT, "nodes": nodes, "edges": edges, TEXT: {TEXT: [LONGEST, version]}}


def _key(tenant: Tenant, caller: Caller) -> None:
    body = {"user_id": caller.user_id, "name": NAME}
    ok(tenant.server.operator.post(f"{tenant.path}/api-keys", body), 201)
