"""Tags: their refs, their trailers, and refs that name no version."""

from pathlib import Path

from tests.support.api import (
    Json,
    Tenant,
    ok,
    run_git,
)

# Refs that name no version of a resource with a single version that is neither tagged nor published.
NOWHERE = ["2", "0", "v9", "published", "previous", "f" * 40, "%00"]


def name_of(resource: Json, tag: str) -> str:
    """Return the full name of a tag's ref, as API.md describes it."""
    return f"refs/tags/{resource['resource_type']}s/{resource['resource_id']}/{tag}"


def trailers(message: str) -> list[tuple[str, str]]:
    """Return the trailers of a message, as git itself finds them."""
    parsed = run_git(Path("/"), "interpret-trailers", "--parse", input=message.encode()).stdout.decode()
    return [(name, value) for name, _, value in (line.partition(": ") for line in parsed.splitlines())]


def edited(tenant: Tenant) -> tuple[Json, list[Json]]:
    """Make a workflow with three versions."""
    workflow = tenant.workflow(definition={"n": 1})
    first = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/1"))
    return workflow, [first, tenant.save(workflow, {"n": 2}), tenant.save(workflow, {"n": 3})]
