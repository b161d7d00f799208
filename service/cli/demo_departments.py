"""Second part of the demo's story: more departments, deletions, and a check-out that goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.cli.client import Client
from service.cli.demo_documents import Document, Say, document, node


@dataclass(frozen=True)
class Department:
    """A workspace with its folder and job."""

    workspace_id: str
    job_id: str


def play(clients: Mapping[str, Client], base: str, say: Say) -> None:
    """Fill two more workspaces, delete and restore in them, and leave a check-out open."""
    ana, ben, eva = clients["ana"], clients["ben"], clients["eva"]
    care = _department(ana, base, "Customer care", "Tickets", "Every 5 minutes")
    data = _department(eva, base, "Data platform", "Models", "Weekly")
    for workspace_id, name, kind in (
        (care.workspace_id, "desk", "http"),
        (data.workspace_id, "warehouse", "postgres"),
    ):
        definition = {"kind": kind, "host": f"{name}.kiln.example", "pool_size": 5}
        ana.post(f"{base}/connectors", {"workspace_id": workspace_id, "name": name, "definition": definition})
    say("ana and eva add two workspaces, Customer care and Data platform, with workflows and connectors.")

    triage = _workflow(eva, base, care, "ticket_triage")
    edit = eva.post(f"{triage}/check-out", {"reason": "urgent tickets wait too long"})["data"]
    _call_somebody(edit)
    eva.post(
        f"{triage}/check-in", {"data": edit, "comment": "Call somebody for urgent tickets", "tag": "winter"}
    )
    ana.post(f"{triage}/versions/winter/publish")

    refund = _workflow(eva, base, care, "refund_approval")
    edit = ben.post(f"{refund}/check-out")["data"]
    node(edit, "amount")["automatic_below"] = 75
    saved = ben.post(f"{refund}/check-in", {"data": edit, "comment": "Less than 75 is paid back at once"})
    at = f"{refund}/versions/{saved['version_number']}/comments"
    ana.post(at, {"text": "Finance agreed on 12 November."})
    ben.post(at, {"text": "Let us look at the figures again in January."})
    say("ben raises a limit in Refund approval, and he and ana comment on that version.")

    score = _workflow(eva, base, data, "churn_score")
    edit = eva.post(f"{score}/check-out")["data"]
    edit["States"]["Score"]["Parameters"]["model"] = "churn-7"
    eva.post(f"{score}/check-in", {"data": edit, "comment": "The new model", "publish": True})
    rules = _workflow(ana, base, data, "retention_rules")
    edit = ana.post(f"{rules}/check-out")["data"]
    edit["rules"][1]["keep_years"] = 2
    ana.post(f"{rules}/check-in", {"data": edit, "comment": "Tickets are kept for two years"})

    _delete(ana, eva, base, care, say)
    eva.post(f"{triage}/check-out", {"reason": "Topics of the winter sale"})
    say("eva checks Ticket triage out, and is still at it.")


def _department(by: Client, base: str, name: str, folder: str, job: str) -> Department:
    workspace_id = by.post(f"{base}/workspaces", {"name": name})["resource_id"]
    folder_id = by.post(f"{base}/folders", {"workspace_id": workspace_id, "name": folder})["resource_id"]
    return Department(
        workspace_id, by.post(f"{base}/jobs", {"folder_id": folder_id, "name": job})["resource_id"]
    )


def _workflow(by: Client, base: str, place: Department, name: str) -> str:
    """Make a workflow of a document; returns its path."""
    definition = document(name)
    body = {"job_id": place.job_id, "name": definition["title"], "definition": definition}
    return f"{base}/workflows/{by.post(f'{base}/workflows', body)['resource_id']}"


def _call_somebody(definition: Document) -> None:
    """Add a node as n8n writes them: connections lead from name to name."""
    definition["nodes"].append(
        {
            "id": "call",
            "name": "Call somebody",
            "type": "n8n-nodes-base.httpRequest",
            "typeVersion": 1,
            "position": [880, 280],
            "parameters": {"url": "https://pager.example/care"},
        }
    )
    connections = definition["connections"]
    connections["Route by topic"]["main"].append([{"node": "Call somebody", "type": "main", "index": 0}])


def _delete(ana: Client, eva: Client, base: str, care: Department, say: Say) -> None:
    """Delete two workflows and a folder, and restore one of the workflows."""
    gone = _workflow(eva, base, care, "old_ticket_export")
    eva.delete(gone, {"reason": "replaced by Ticket triage"})
    survey = _workflow(eva, base, care, "survey")
    deletion = eva.delete(survey, {"reason": "nobody answers it"})
    ana.post(f"{base}/deletions/{deletion['deletion_id']}/restore")
    body = {"workspace_id": care.workspace_id, "name": "Trials"}
    trials = ana.post(f"{base}/folders", body)["resource_id"]
    ana.post(f"{base}/jobs", {"folder_id": trials, "name": "By hand"})
    ana.delete(f"{base}/folders/{trials}", {"reason": "the trials are over"})
    say("Old ticket export and the folder Trials are deleted, into the restore bin. ana restores Survey.")
