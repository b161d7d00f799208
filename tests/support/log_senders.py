"""Mappings of senders of executions, requests and changes of data."""

from urllib.parse import parse_qsl, urlsplit

from tests.support.api import Json
from tests.support.sender_fields import given, id_of, instant, milliseconds

_AIRFLOW = {
    "success": "success",
    "failed": "failed",
    "running": "running",
    "skipped": "skipped",
    "up_for_retry": "retrying",
    "restarting": "retrying",
    "upstream_failed": "failed",
    "removed": "cancelled",
}


def airflow(event: Json) -> Json:
    """Map a task instance of Airflow."""
    failed = event["state"] in ("failed", "upstream_failed")
    return given(
        occurred_at=event["end_date"] or event["start_date"] or event["queued_when"],
        execution_id=event["dag_run_id"],
        execution_type="node",
        workflow_id=id_of(event["dag_id"]),
        node_id=event["task_id"],
        log_level="ERROR" if failed else "INFO",
        log_message=f"{event['dag_id']}.{event['task_id']}: {event['state']}",
        log_details=event,
        duration_ms=None if event["duration"] is None else event["duration"] * 1000,
        status=_AIRFLOW.get(event["state"], "queued"),
        version_number=event["dag_version"]["version_number"],
        git_commit_hash=event["dag_version"]["bundle_version"],
    )


_CONCLUSIONS = {
    "success": "success",
    "neutral": "success",
    "failure": "failed",
    "action_required": "failed",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "timed_out": "timed_out",
}


def github_actions(event: Json) -> Json:
    """Map the event of a job of GitHub Actions."""
    job = event["workflow_job"]
    return given(
        occurred_at=job["completed_at"] or job["started_at"],
        execution_id=str(job["run_id"]),
        execution_type="job",
        workflow_id=id_of(f"{event['repository']['full_name']}/{job['workflow_name']}"),
        node_id=job["name"],
        log_level="ERROR" if job["conclusion"] in ("failure", "timed_out") else "INFO",
        log_message=f"{job['workflow_name']} / {job['name']}: {job['conclusion'] or job['status']}",
        log_details={"steps": job["steps"], "labels": job["labels"], "runner": job["runner_name"]},
        duration_ms=milliseconds(job["started_at"], job["completed_at"]),
        status=_CONCLUSIONS.get(job["conclusion"], "running" if job["status"] == "in_progress" else "queued"),
        error_code=job["conclusion"] if job["conclusion"] in ("failure", "timed_out") else None,
        triggered_by=event["sender"]["login"],
        git_commit_hash=job["head_sha"],
    )


def temporal(event: Json) -> Json:
    """Map an event of the history of a workflow of Temporal."""
    kind = event["eventType"].removeprefix("EVENT_TYPE_")
    attributes = next(value for name, value in event.items() if name.endswith("EventAttributes"))
    states = {"COMPLETED": "success", "FAILED": "failed", "TIMED_OUT": "timed_out", "CANCELED": "cancelled"}
    status = next((state for end, state in states.items() if kind.endswith(end)), "running")
    failure = attributes.get("failure", {})
    return given(
        occurred_at=event["eventTime"],
        execution_id=event["workflowExecution"]["runId"],
        execution_type="workflow" if kind.startswith("WORKFLOW_EXECUTION") else "node",
        workflow_id=id_of(event["workflowExecution"]["workflowId"]),
        node_id=attributes.get("activityType", {}).get("name", attributes.get("activityId")),
        log_level="ERROR" if status in ("failed", "timed_out") else "DEBUG" if "TASK" in kind else "INFO",
        log_message=failure.get("message", kind),
        log_details=attributes,
        status=status,
        error_code=failure.get("applicationFailureInfo", {}).get("type"),
        triggered_by=attributes.get("identity"),
    )


_N8N = {
    "success": "success",
    "error": "failed",
    "crashed": "failed",
    "canceled": "cancelled",
    "running": "running",
    "waiting": "queued",
    "new": "queued",
}


def n8n(event: Json) -> Json:
    """Map an execution of n8n."""
    error = event.get("data", {}).get("resultData", {}).get("error", {})
    return given(
        occurred_at=event["stoppedAt"] or event["startedAt"],
        execution_id=str(event["id"]),
        execution_type="workflow",
        workflow_id=id_of(event["workflowId"]),
        log_level="CRITICAL" if event["status"] == "crashed" else "ERROR" if error else "INFO",
        log_message=error.get("message", f"{event['workflowData']['name']}: {event['status']}"),
        log_details={"mode": event["mode"], "retryOf": event["retryOf"], "workflow": event["workflowData"]},
        duration_ms=milliseconds(event["startedAt"], event["stoppedAt"]),
        status=_N8N[event["status"]],
        error_code=error.get("name"),
        error_details=error or None,
        triggered_by=event["mode"],
    )


_PRIORITIES = ("CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")


def systemd_journal(event: Json) -> Json:
    """Map an entry of the journal, exported as JSON."""
    message = event["MESSAGE"]
    return given(
        occurred_at=instant(int(event["__REALTIME_TIMESTAMP"]) / 1e6),
        execution_id=event.get("_SYSTEMD_INVOCATION_ID", event["_BOOT_ID"]),
        execution_type="job",
        node_id=event.get("_SYSTEMD_UNIT", event["SYSLOG_IDENTIFIER"]),
        log_level=_PRIORITIES[int(event["PRIORITY"])],
        # The journal gives text with bytes below 32 as a list of bytes.
        log_message=message if isinstance(message, str) else bytes(message).decode(errors="replace"),
        log_details={name: value for name, value in event.items() if name != "MESSAGE"},
        triggered_by=event.get("_UID"),
    )


def caddy(event: Json) -> Json:
    """Map a line of Caddy's access log."""
    request = event["request"]
    headers = {name.lower(): values[0] for name, values in request["headers"].items()}
    uri = urlsplit(request["uri"])
    return given(
        occurred_at=instant(event["ts"]),
        request_id=headers["x-request-id"],
        http_method=request["method"],
        endpoint=uri.path,
        query_params=dict(parse_qsl(uri.query)) or None,
        user_id=event["user_id"] or None,
        response_status=event["status"],
        response_time_ms=round(event["duration"] * 1000),
        request_bytes=event["bytes_read"],
        response_bytes=event["size"],
        ip_address=request["client_ip"],
        user_agent=headers["user-agent"],
        referer=headers["referer"],
        error_message=event["msg"] if event["level"] == "error" else None,
    )


def debezium(event: Json) -> Json:
    """Map a change that Debezium captured."""
    origin = event["source"]
    return given(
        occurred_at=instant(origin["ts_us"] / 1e6),
        table_name=f"{origin['schema']}.{origin['table']}",
        record_id=str((event["after"] or event["before"])["id"]),
        record_name=origin["table"],
        change_type={"c": "INSERT", "r": "INSERT", "u": "UPDATE", "d": "DELETE"}[event["op"]],
        old_data=event["before"],
        new_data=event["after"],
        changed_by=f"tx {origin['txId']}",
    )
