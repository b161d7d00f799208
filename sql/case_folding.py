"""Texts without regard to case, in the letters of all scripts and whatever the locale of the database."""

from sqlalchemy import ColumnElement, collate, func, text

from sql.database import Transaction

# Collations that know all letters, the best first: ICU's writes ß as SS. A server without ICU has that of
# PostgreSQL 17, or that of the operating system.
_KNOW_ALL_LETTERS = ("und-x-icu", "pg_c_utf8", "C.utf8")
_THERE = text(
    "SELECT collname FROM pg_collation WHERE collname = ANY(:names) AND collencoding IN"
    " (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))"
)


def collation(tx: Transaction) -> str | None:
    """Find the collation to fold texts by; with None only the letters of the database's locale are folded."""
    there = set(tx.execute(_THERE, {"names": list(_KNOW_ALL_LETTERS)}).scalars())
    return next((name for name in _KNOW_ALL_LETTERS if name in there), None)


def folded(words: ColumnElement[str], by: str | None) -> ColumnElement[str]:
    """Make the text that is equal for texts which differ in case alone.

    The lower case of a capital may have more letters, and a small letter none: so both are taken in turn.
    """
    return func.upper(func.lower(words if by is None else collate(words, by)))
