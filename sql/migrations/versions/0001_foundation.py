"""The tables, who may touch them, and the wall between subscriptions."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

TENANT_TABLES = (
    *("subscriptions", "actors", "users", "api_keys", "repositories"),
    *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
    *("versions", "version_comments", "check_outs", "publications", "deletion_logs"),
    *("audit_logs", "execution_logs", "node_execution_logs", "server_logs", "data_change_history"),
)


def upgrade() -> None:
    here = Path(__file__)
    op.execute(here.with_name("0001_tables.sql").read_text())
    op.execute(here.with_name("0001_grants.sql").read_text())
    for table in TENANT_TABLES:
        # The queries name the subscription themselves; this is the second wall, for the one that forgets.
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY subscription ON {table} USING "
            "(current_setting('annals.scope', true) IN ('platform', subscription_id::text))"
        )
