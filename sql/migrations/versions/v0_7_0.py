"""Additions of version 0.7.0 to the schema, one file a subject."""

from pathlib import Path

from alembic import op

revision = "0.7.0"
down_revision = "0.6.0"

SUBJECTS: tuple[str, ...] = ("server_logs", "execution_figures", "closing")


def upgrade() -> None:
    folder = Path(__file__).with_suffix("")
    for subject in SUBJECTS:
        op.execute((folder / f"{subject}.sql").read_text())
