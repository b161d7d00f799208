"""Log records of OpenTelemetry, as tests write them in OTLP's JSON and send them in either format."""

import gzip
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.support.api import Caller, Json, Tenant

JSON, PROTOBUF = "application/json", "application/x-protobuf"
FORMATS = (JSON, PROTOBUF)
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def any_value(value: Any) -> Json:
    """Write a plain value as an AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case _:
            return {"kvlistValue": {"values": pairs(value)}}


def pairs(values: Json) -> list[Json]:
    """Write attributes."""
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def log_record(body: Any = "begins", /, **fields: Any) -> Json:
    """Write a record; `attributes` are plain values."""
    attributes = pairs(fields.pop("attributes", {}))
    return {"body": any_value(body), "severityNumber": 9, "attributes": attributes, **fields}


def request_of(*records: Json, resource: Json | None = None, scope: Json | None = None) -> Json:
    """Write a request of one resource and one scope, whose attributes are plain values."""
    about = {"name": "tests", **(scope or {})}
    about["attributes"] = pairs(about.get("attributes", {}))
    group = {"scope": about, "logRecords": list(records)}
    sender = {"attributes": pairs({"service.name": "shop"} if resource is None else resource)}
    return {"resourceLogs": [{"resource": sender, "scopeLogs": [group]}]}


def nanoseconds(**ago: float) -> str:
    """Return a time in the past as JSON has it: `seconds=` or `days=` before now."""
    seconds = ago.get("seconds", 0) + 86_400 * ago.get("days", 0)
    return str(time.time_ns() - int(seconds * 1e9))


def protobuf_of(request: Json) -> bytes:
    """Write a request in protobuf, by protobuf's own reader of JSON, which has the ids in Base64."""
    plain = orjson.loads(orjson.dumps(request))
    for group in plain["resourceLogs"]:
        for part in group.get("scopeLogs", ()):
            for record in part.get("logRecords", ()):
                for name in ("traceId", "spanId"):
                    if name in record:
                        record[name] = b64encode(bytes.fromhex(record[name])).decode()
    return json_format.ParseDict(plain, ExportLogsServiceRequest()).SerializeToString()


def written(request: Json, form: str) -> bytes:
    """Write a request in a format."""
    return protobuf_of(request) if form == PROTOBUF else orjson.dumps(request)


def export(
    tenant: Tenant,
    request: Json | bytes,
    form: str = JSON,
    *,
    by: Caller | None = None,
    query: str = "",
    compress: bool = False,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a request as an exporter does."""
    raw = request if isinstance(request, bytes) else written(request, form)
    if compress:
        raw, headers = gzip.compress(raw), {"content-encoding": "gzip", **(headers or {})}
    path = f"{tenant.path}/otlp/v1/logs{query}"
    return (by or tenant.ben).send(path, raw, **{"content-type": form, **(headers or {})})


def exported(tenant: Tenant, **query: Any) -> list[Json]:
    """Read the stored events, newest first."""
    return tenant.aud.pages(f"{tenant.path}/execution-logs", **query)
