"""Mappings of senders whose events are actions: bodies of `POST S/audit-logs`."""

from tests.support.api import Json
from tests.support.sender_fields import address, given, instant

_REFUSED = {"AccessDenied", "Client.UnauthorizedOperation"}


def aws_cloudtrail(event: Json) -> Json:
    """Map an event of AWS CloudTrail."""
    who = event["userIdentity"]
    error = event.get("errorCode") or event.get("errorMessage")
    return given(
        event_id=event["eventID"],
        occurred_at=event["eventTime"],
        action=event["eventName"],
        resource_type=event["eventSource"],
        resource_id=event.get("resources", [{}])[0].get("ARN"),
        actor=given(
            id=who.get("arn", who.get("invokedBy")),
            name=who.get("userName"),
            kind={"IAMUser": "human", "Root": "human"}.get(who["type"], "service"),
        ),
        ip_address=address(event["sourceIPAddress"]),
        user_agent=event["userAgent"],
        request_id=event["requestID"],
        new_values={"request": event["requestParameters"], "response": event["responseElements"]},
        status="success" if error is None else "unauthorized" if error in _REFUSED else "failed",
        error_message=event.get("errorMessage"),
    )


def github_audit(event: Json) -> Json:
    """Map an event of GitHub's audit log."""
    return given(
        event_id=event["_document_id"],
        occurred_at=instant(event["@timestamp"] / 1000),
        action=event["action"],
        resource_type="repository" if "repo" in event else "organization",
        resource_id=event.get("repo", event["org"]),
        actor=given(
            id=str(event["actor_id"]),
            name=event["actor"],
            email=event.get("external_identity_nameid"),
            kind="service" if event["actor_is_bot"] else "human",
        ),
        ip_address=event["actor_ip"],
        user_agent=event["user_agent"],
        request_id=event["request_id"],
        new_values=event,
    )


def kubernetes_audit(event: Json) -> Json:
    """Map an event of an audit log of Kubernetes."""
    what, code = event["objectRef"], event["responseStatus"]["code"]
    return given(
        event_id=event["auditID"],
        occurred_at=event["requestReceivedTimestamp"],
        action=event["verb"],
        resource_type=what["resource"],
        resource_id="/".join(what[part] for part in ("namespace", "name", "subresource") if part in what)
        or None,
        resource_name=what.get("name"),
        actor={
            "id": event["user"]["username"],
            "kind": "service" if event["user"]["username"].startswith("system:") else "human",
        },
        ip_address=event["sourceIPs"][0],
        user_agent=event["userAgent"],
        api_endpoint=event["requestURI"],
        new_values=event.get("requestObject"),
        status="unauthorized" if code == 403 else "failed" if code >= 400 else "success",
        error_message=event["responseStatus"].get("message"),
    )


def okta(event: Json) -> Json:
    """Map an event of Okta's system log."""
    who, outcome = event["actor"], event["outcome"]
    targets = event["target"] or [who]
    return given(
        event_id=event["uuid"],
        occurred_at=event["published"],
        action=event["eventType"],
        resource_type=targets[0]["type"],
        resource_id=targets[0]["id"],
        resource_name=targets[0]["displayName"],
        actor=given(
            id=who["id"],
            name=who["displayName"],
            email=who["alternateId"] if "@" in who["alternateId"] else None,
            kind="human" if who["type"] == "User" else "service",
        ),
        ip_address=event["client"]["ipAddress"],
        user_agent=event["client"]["userAgent"]["rawUserAgent"],
        api_endpoint=event["debugContext"]["debugData"]["requestUri"],
        request_id=event["transaction"]["id"],
        new_values={name: event[name] for name in ("target", "debugContext", "securityContext")},
        status={"FAILURE": "failed", "DENY": "unauthorized"}.get(outcome["result"], "success"),
        error_message=outcome["reason"] if outcome["result"] in ("FAILURE", "DENY") else None,
    )


def keycloak(event: Json) -> Json:
    """Map a user event of Keycloak."""
    details = event["details"]
    return given(
        event_id=event["id"],
        occurred_at=instant(event["time"] / 1000),
        action=event["type"],
        resource_type="realm",
        resource_id=event["realmName"],
        resource_name=event["clientId"],
        actor=given(
            id=event.get("userId", event["clientId"]),
            name=details.get("username"),
            email=details.get("email"),
        ),
        ip_address=event["ipAddress"],
        request_id=event.get("sessionId"),
        new_values=details,
        status="failed" if "error" in event else "success",
        error_message=event.get("error"),
    )


def gitlab(event: Json) -> Json:
    """Map an audit event of GitLab."""
    details = event["details"]
    changed = details.get("change")
    return given(
        event_id=str(event["id"]),
        occurred_at=event["created_at"],
        action=event["event_name"],
        resource_type=event["entity_type"],
        resource_id=str(event["entity_id"]),
        resource_name=event["entity_path"],
        actor={"id": str(event["author_id"]), "name": event["author_name"], "email": details["author_email"]},
        ip_address=event["ip_address"],
        old_values={changed: details["from"]} if changed else None,
        new_values={changed: details["to"]} if changed else details,
        status="failed" if "failed_login" in details else "success",
    )
