"""Column types that several tables share, and the naming convention of every constraint."""

from sqlalchemy import DateTime, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

# Set before the first table class is made: names must be the same in models and migrations.
SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

INSTANT = DateTime(timezone=True)
TEXT = Text()
# For queries only: JSONB normalises numbers, so the canonical bytes in git are the truth.
JSON = JSONB(none_as_null=True)
# For programs that write rows in SQL; Annals itself gives each row its id and time.
RANDOM_ID = {"server_default": text("gen_random_uuid()")}
NOW = {"server_default": text("now()")}
