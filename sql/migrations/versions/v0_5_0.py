"""Additions of version 0.5.0 to the schema, one file a subject."""

from pathlib import Path

from alembic import op

revision = "0.5.0"
down_revision = "0.4.0"

SUBJECTS: tuple[str, ...] = (
    "audit_events",
    "closing",
    "server_logs",
    "data_changes",
    "deletions",
    "legal_holds",
    "executions",
    "retention",
    "following",
    "new_chunks",
)


# In the order in which older hosts beside this one lock them: in another order, one of both would be ended.
LOCK = """
LOCK TABLE execution_logs, node_execution_logs, server_logs, deletion_logs, change_numbers,
    data_change_history, audit_logs IN ACCESS EXCLUSIVE MODE
"""


def upgrade() -> None:
    op.execute(LOCK)
    folder = Path(__file__).with_suffix("")
    for subject in SUBJECTS:
        op.execute((folder / f"{subject}.sql").read_text())
