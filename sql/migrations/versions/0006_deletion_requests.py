"""Deletions that operators ask for in SQL."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())
    op.execute("ALTER TABLE deletion_requests ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY subscription ON deletion_requests USING "
        "(current_setting('annals.scope', true) IN ('platform', subscription_id::text))"
    )
