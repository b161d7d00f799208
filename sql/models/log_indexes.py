"""Indexes by which logs and deletions are searched, in the order of their pages."""

from sqlalchemy import Index, TextClause, text


def given(column: str) -> TextClause:
    """Make the condition of an index that leaves out the rows without a value."""
    return text(f"{column} IS NOT NULL")


def occurrences(table: str, time: str, row_id: str) -> Index:
    """Make the index of the events' own time, which is that of the arrival where it is null.

    The planner takes a COALESCE for leaky, and so searches no index by it before row-level security.
    """
    # With the line breaks of PostgreSQL, with whose text the migrations are compared.
    own = text(f"(\nCASE\n    WHEN occurred_at IS NULL THEN {time}\n    ELSE occurred_at\nEND)")
    return Index(f"ix_{table}_occurred_at", "subscription_id", own, row_id)


def filters_of(table: str, time: str, row_id: str, /, **filters: TextClause | None) -> tuple[Index, ...]:
    """Make an index for each filter, in the order of pages. An index with a condition has only rare rows."""
    return tuple(
        Index(f"ix_{table}_{name}", "subscription_id", name, time, row_id, postgresql_where=condition)
        for name, condition in filters.items()
    )
