"""Rows of versions and workflows, altered directly in the database, not through the service."""

from tests.support.api import Json, Tenant


def rename(tenant: Tenant, resource: Json, name: str, description: str | None) -> None:
    """Change the row as PATCH does."""
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE workflows SET name = %s, description = %s WHERE workflow_id = %s",
            [name, description, resource["resource_id"]],
        )


def rename_commit(tenant: Tenant, version: Json, commit: str) -> None:
    """Write another commit into the row of a version, since commits of a chosen id can't be made."""
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE versions SET git_commit_hash = %s WHERE version_id = %s", [commit, version["version_id"]]
        )
