"""Clients that generators make of the description: none warns, and a program with one of them works."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Tenant
from tests.support.project import ROOT

FILE = ROOT / "docs" / "openapi.json"
PACKAGE = "annals_client"
# The generators of clients in TypeScript, and the compiler that both of them need.
OF_TYPESCRIPT = ("openapi-typescript@7.13.0", "@hey-api/openapi-ts@0.95.0", "typescript@5.9.3")


def run(*command: str | Path, folder: Path) -> str:
    """Run a program; returns what it says, on both of its outputs."""
    # The generator of the Python client formats it with the ruff of this environment.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | {"PATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a generated client."""
    folder = tmp_path_factory.mktemp("client")
    said = run(
        *("openapi-python-client", "generate", "--path", FILE, "--meta", "none"),
        *("--output-path", folder / PACKAGE, "--fail-on-warning"),
        folder=folder,
    )
    assert said.strip() == f"Generating {folder / PACKAGE}"
    return folder


class Client:
    """A generated client with a caller's key."""

    def __init__(self, folder: Path, tenant: Tenant) -> None:
        self.client = importlib.import_module(PACKAGE).AuthenticatedClient(tenant.server.url, tenant.ana.key)
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.subscription_id = UUID(tenant.subscription_id)
        [self._calls] = [{path.stem: path for path in (folder / PACKAGE / "api").glob("*/*.py")}]

    def __call__(self, operation: str, *where: Any, **how: Any) -> Any:
        """Call an operation in the subscription; returns the whole answer."""
        group = self._calls[operation].parent.name
        call = importlib.import_module(f"{PACKAGE}.api.{group}.{operation}")
        return call.sync_detailed(self.subscription_id, *where, client=self.client, **how)


@pytest.fixture
def client(python_client: Path, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A generated client with the key of an admin."""
    monkeypatch.syspath_prepend(str(python_client))
    client = Client(python_client, tenant)
    with client.client:
        yield client


@pytest.mark.long
def test_a_program_with_the_python_client_works_through_a_day(client: Client, tenant: Tenant) -> None:
    models, workflows = client.models, client.models.Collection.WORKFLOWS
    definition = models.NewWorkflowDefinition.from_dict({"steps": []})
    body = models.NewWorkflow(name="load orders", job_id=UUID(tenant.job_id), definition=definition)
    made = client("create_workflow", body=body, idempotency_key=str(uuid4()))
    assert made.status_code == 201
    workflow = made.parsed.resource_id
    place = (workflows, workflow)

    out = client("check_out", *place, body=models.CheckOutRequest(reason="a day's work"))
    assert out.parsed.data.to_dict() == {"steps": []}
    base = out.headers["etag"]

    data = models.CheckInRequestDataType0.from_dict({"steps": ["extract"]})
    key = str(uuid4())
    write = {"body": models.CheckInRequest(data=data), "if_match": base, "idempotency_key": key}
    first, again = (client("check_in", *place, **write) for _ in range(2))
    assert (first.status_code, first.parsed.version_number) == (201, 2)
    assert again.parsed == first.parsed

    stale = client("check_in_many", body=bulk(models, workflow, {"steps": ["load"]}, base.strip('"')))
    assert (stale.status_code, stale.parsed.code) == (412, "stale_version")
    assert stale.parsed.current[0].current_version == 2
    head = first.headers["etag"].strip('"')
    many = client("check_in_many", body=bulk(models, workflow, {"steps": ["load"]}, head))
    assert [version.version_number for version in many.parsed.versions] == [3]

    gone = client("delete_resource", *place, reason="not wanted", if_match=many.headers["etag"])
    assert gone.parsed.can_be_restored
    refused = client("check_out", *place)
    assert (refused.status_code, refused.parsed.code) == (409, "resource_deleted")
    back = client("restore_deletion", gone.parsed.deletion_id)
    assert back.parsed.restored.to_dict()["workflows"] == 1

    named = models.WorkflowUpdate(description="every night")
    renamed = client("update_resource", *place, body=named)
    assert (renamed.parsed.name, renamed.parsed.description) == ("load orders", "every night")


def bulk(models: Any, workflow: UUID, definition: dict[str, Any], if_match: str) -> Any:
    """The body of a bulk check-in of one workflow."""
    data = models.CheckInItemData.from_dict(definition)
    kind = models.ResourceType.WORKFLOW
    item = models.CheckInItem(resource_type=kind, resource_id=workflow, data=data, if_match=if_match)
    return models.BulkCheckInRequest(items=[item])


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generators of TypeScript; skips without npm or without a registry that has them."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"private": true}')
    install = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", *OF_TYPESCRIPT]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm can't install the generators: {done.stderr.strip()[-300:]}")
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("generator", "options", "made"),
    [
        ("openapi-typescript", (FILE, "--output", "annals.d.ts"), "annals.d.ts"),
        ("openapi-ts", ("--input", FILE, "--output", "annals", "--no-log-file"), "annals/index.ts"),
    ],
)
@pytest.mark.sampled(1)
def test_a_generator_of_typescript_warns_of_nothing(
    node_modules: Path, generator: str, options: tuple[str | Path, ...], made: str
) -> None:
    said = run(node_modules / "node_modules/.bin" / generator, *options, folder=node_modules)
    assert not [word for word in ("warn", "error", "⚠", "duplicate") if word in said.lower()], said
    compiler = node_modules / "node_modules/.bin/tsc"
    how = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--moduleResolution", "bundler")
    run(compiler, *how, "--module", "esnext", "--lib", "es2022,dom,dom.iterable", made, folder=node_modules)
