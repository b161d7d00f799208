"""Jobs and their runs, retention and holds, archives, and closed subscriptions."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

PLATFORM_TABLES = ("job_schedules", "job_plans", "job_runs")
# The operator's rules for all have no subscription; each subscription sees its own.
TENANT_TABLES = ("retention_policies", "legal_holds", "legal_hold_moves", "archives")


def upgrade() -> None:
    here = Path(__file__)
    op.execute(here.with_suffix(".sql").read_text())
    op.execute(here.with_name("0007_retention.sql").read_text())
    op.execute(here.with_name("0007_closing.sql").read_text())
    for table in (*PLATFORM_TABLES, *TENANT_TABLES):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table in PLATFORM_TABLES:
        op.execute(
            f"CREATE POLICY platform ON {table} USING (current_setting('annals.scope', true) = 'platform')"
        )
    for table in TENANT_TABLES:
        op.execute(
            f"CREATE POLICY subscription ON {table} USING "
            "(current_setting('annals.scope', true) IN ('platform', subscription_id::text))"
        )
