"""Tags, idempotency keys, the order of commits, and the demand for If-Match."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())
    for table in ("tags", "idempotency_keys"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY subscription ON {table} USING "
            "(current_setting('annals.scope', true) IN ('platform', subscription_id::text))"
        )
