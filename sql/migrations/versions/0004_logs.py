"""Logs that are found by every filter and changed by nobody, their policy, and numbers of changes."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

LOGS = ("audit_logs", "execution_logs", "node_execution_logs", "server_logs", "data_change_history")


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())
    for log in LOGS:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {log} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()"
        )
        # Chunks have triggers for rows only: this one stands where somebody goes past the hypertable.
        op.execute(
            f"CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON {log} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_rewriting()"
        )
    for table in ("change_numbers", "audit_policies"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY subscription ON {table} USING "
            "(current_setting('annals.scope', true) IN ('platform', subscription_id::text))"
        )
