"""The schema of version 0.2.0, one file a subject."""

from pathlib import Path

from alembic import op

revision = "0.2.0"
down_revision = None

# The file of a table comes before the files of tables that refer to it.
SUBJECTS = (
    *("tenancy", "resources", "versions", "idempotency", "deletions", "deletion_requests"),
    *("logs", "scheduled_jobs", "legal_holds", "retention", "chunks", "archives", "closing", "access"),
)


def upgrade() -> None:
    folder = Path(__file__).with_suffix("")
    for subject in SUBJECTS:
        op.execute((folder / f"{subject}.sql").read_text())
