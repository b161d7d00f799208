"""Exporters of OpenTelemetry for Python and JavaScript, and a collector, send to Annals as they are."""

import importlib.util
import logging
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tests.support.api import Caller, Json, Tenant
from tests.support.otlp import exported
from tests.support.waiting import until


def headers_of(caller: Caller) -> dict[str, str]:
    """Headers that a user gives to an exporter."""
    return {"authorization": f"Bearer {caller.key}"}


def url_of(tenant: Tenant) -> str:
    return f"{tenant.server.url}{tenant.path}/otlp/v1/logs"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that writes to its own handlers alone."""
    logger = logging.getLogger("tests.otlp")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_sdk_for_python_sends_what_a_program_logs(
    tenant: Tenant, logger: logging.Logger, compression: Compression
) -> None:
    provider = LoggerProvider(resource=Resource.create({"service.name": "billing"}))
    exporter = OTLPLogExporter(url_of(tenant), headers=headers_of(tenant.ben), compression=compression)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger.addHandler(LoggingHandler(logger_provider=provider))
    with TracerProvider().get_tracer("tests").start_as_current_span("load orders") as span:
        logger.warning("no route to %s", "db", extra={"annals.rows_processed": 7, "attempt": 2})
        try:
            int("seven")
        except ValueError:
            logger.exception("loading failed")
    logger.debug("waiting")
    assert provider.force_flush()
    provider.shutdown()

    trace, node = f"{span.get_span_context().trace_id:032x}", f"{span.get_span_context().span_id:016x}"
    found = {row["log_message"]: row for row in exported(tenant)}
    assert set(found) == {"no route to db", "loading failed", "waiting"}
    assert {row["source"] for row in found.values()} == {"billing"}
    in_span = [found["no route to db"], found["loading failed"]]
    assert {(row["execution_id"], row["node_id"]) for row in in_span} == {(trace, node)}
    warned, failed = in_span
    assert (warned["log_level"], warned["rows_processed"]) == ("WARNING", 7)
    assert warned["log_details"]["attributes"]["attempt"] == 2
    assert (failed["log_level"], failed["error_code"]) == ("ERROR", "ValueError")
    assert failed["error_details"]["message"].startswith("invalid literal")
    assert "Traceback" in failed["error_details"]["stacktrace"]
    assert (found["waiting"]["log_level"], found["waiting"]["execution_type"]) == ("DEBUG", "job")


def test_the_sdk_for_python_gives_up_at_once_where_a_retry_is_of_no_use(
    tenant: Tenant, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    provider = LoggerProvider()
    exporter = OTLPLogExporter(url_of(tenant), headers=headers_of(tenant.vera))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.warning("refused")
    provider.force_flush()
    provider.shutdown()
    assert exported(tenant) == []
    assert any("403" in record.getMessage() for record in caplog.records)


PROGRAM = """
const { logs, SeverityNumber } = require("@opentelemetry/api-logs");
const { LoggerProvider, BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const [, , format, url, authorization, compression] = process.argv;
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${format}`);
const exporter = new OTLPLogExporter({ url, headers: { authorization }, compression });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({ "service.name": "front" }),
  processors: [new BatchLogRecordProcessor({ exporter })],
});
const logger = provider.getLogger("orders", "1.2");
logger.emit({
  severityNumber: SeverityNumber.FATAL,
  severityText: "fatal",
  body: { text: "no stock", items: [1, 2.5, true, null] },
  attributes: { "annals.status": "failed", big: 9007199254740991, nested: { a: ["b"] } },
});
provider.shutdown().then(() => process.exit(0));
"""
PACKAGES = tuple(
    f"@opentelemetry/{name}"
    for name in (
        *("api@1.9.1", "api-logs@0.223.1", "sdk-logs@0.223.1", "resources@2.12.1"),
        *("exporter-logs-otlp-http@0.223.1", "exporter-logs-otlp-proto@0.223.1"),
    )
)


@pytest.fixture(scope="module")
def node_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for Node with OpenTelemetry's SDK; skips without npm or a registry that has it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"private": true}')
    install = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", *PACKAGES]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm can't install OpenTelemetry: {done.stderr.strip()[-300:]}")
    program = folder / "program.js"
    program.write_text(PROGRAM)
    return program


@pytest.mark.long
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("form", ["http", "proto"])
def test_the_sdk_for_javascript_sends_what_a_program_logs(
    tenant: Tenant, node_program: Path, form: str, compression: str
) -> None:
    key = headers_of(tenant.ben)["authorization"]
    command = ["node", str(node_program), form, url_of(tenant), key, compression]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    [row] = exported(tenant)
    assert (row["log_level"], row["status"], row["source"]) == ("CRITICAL", "failed", "front")
    assert row["log_message"] == '{"text":"no stock","items":[1,2.5,true,null]}'
    assert row["log_details"]["attributes"] == {"big": 9007199254740991, "nested": {"a": ["b"]}}
    assert row["log_details"]["scope"] == {"name": "orders", "version": "1.2"}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Tell if somebody listens on a port."""
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def rotel(tenant: Tenant, folder: Path, port: int) -> list[str]:
    """Return the command of a collector in Rust, which a package for Python brings along."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        pytest.skip("rotel is not installed")
    options = {
        "pid-file": folder / "pid",
        "otlp-http-endpoint": f"127.0.0.1:{port}",
        "otlp-grpc-endpoint": f"127.0.0.1:{free_port()}",
        "exporter": "otlp",
        "otlp-exporter-protocol": "http",
        # Like all exporters, it appends the path of the protocol.
        "otlp-exporter-endpoint": url_of(tenant).removesuffix("/v1/logs"),
        "otlp-exporter-custom-headers": f"authorization={headers_of(tenant.ben)['authorization']}",
        "batch-timeout": "100ms",
    }
    program = Path(found.origin).with_name("rotel-agent")
    return [str(program), "start", *(f"--{name}={value}" for name, value in options.items())]


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[None]:
    """Run a collector; it ends with the block."""
    with (folder / "output").open("wb") as output:
        collector = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        collector.terminate()
        collector.wait(30)


def lines_of(rows: list[Json]) -> set[str]:
    return {row["log_message"] for row in rows}


def test_a_collector_forwards_what_it_receives(
    tenant: Tenant, logger: logging.Logger, tmp_path: Path
) -> None:
    port = free_port()
    with running(rotel(tenant, tmp_path, port), tmp_path):
        until(lambda: is_open(port))
        provider = LoggerProvider(resource=Resource.create({"service.name": "billing"}))
        exporter = OTLPLogExporter(f"http://127.0.0.1:{port}/v1/logs")
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        logger.addHandler(LoggingHandler(logger_provider=provider))
        for number in range(1_000):
            logger.info("line %d", number, extra={"annals.execution_id": "run 7"})
        provider.shutdown()
        until(lambda: len(exported(tenant, limit=200)) == 1_000)
    rows = exported(tenant, limit=200)
    assert lines_of(rows) == {f"line {number}" for number in range(1_000)}
    assert {(row["execution_id"], row["source"]) for row in rows} == {("run 7", "billing")}


COLLECTOR = """
receivers:
  filelog:
    include: [{file}]
    start_at: beginning
    operators:
      - type: json_parser
        timestamp:
          parse_from: attributes.time
          layout_type: gotime
          layout: "2006-01-02T15:04:05.999999999Z07:00"
        severity: {{parse_from: attributes.level}}
exporters:
  otlphttp:
    logs_endpoint: {url}
    headers: {{Authorization: {authorization}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [filelog], exporters: [otlphttp]}}
"""


@pytest.mark.parametrize("encoding", ["proto", "json"])
def test_the_collector_of_opentelemetry_sends_the_lines_of_a_file(
    tenant: Tenant, tmp_path: Path, encoding: str
) -> None:
    program = shutil.which("otelcol-contrib") or shutil.which("otelcol")
    if program is None:
        pytest.skip("otelcol is not on the PATH")
    file, configuration = tmp_path / "orders.log", tmp_path / "collector.yaml"
    at = datetime.now(UTC).replace(microsecond=123456).isoformat()
    lines = [{"time": at, "level": "error", "text": f"line {number}"} for number in range(1_000)]
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    authorization = headers_of(tenant.ben)["authorization"]
    text = COLLECTOR.format(file=file, url=url_of(tenant), authorization=authorization)
    configuration.write_text(text.replace("    headers:", f"    encoding: {encoding}\n    headers:"))
    with running([program, "--config", str(configuration)], tmp_path):
        until(lambda: len(exported(tenant, limit=200)) == 1_000)
    rows = exported(tenant, limit=200)
    assert {row["log_details"]["attributes"]["text"] for row in rows} == {line["text"] for line in lines}
    assert {row["log_level"] for row in rows} == {"ERROR"}
    assert {row["occurred_at"] for row in rows} == {at.replace("+00:00", "Z")}
