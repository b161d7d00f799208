"""Print the description of the API, as `docs/openapi.json` has it; needs no database."""

import sys

import orjson

from service.http.app import routed
from service.http.description.document import published


def text() -> bytes:
    """Text of the description, the same for every run."""
    return orjson.dumps(published(routed()), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.stdout.buffer.write(text())
