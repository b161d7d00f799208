"""Format of all log lines, also those of libraries: readable text on a terminal, JSON elsewhere.

No line shows a secret: masking is the last step, after which nothing is added.
"""

import logging
import sys
from typing import Literal

import structlog

from service.masking.values import masked

# `configure` changes this list in place: a logger that was used before keeps a reference to it.
_processors: list[structlog.types.Processor] = []


def configure(form: Literal["auto", "json", "console"], level: str) -> None:
    """Send every log line of this process to standard error in one format."""
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if readable:
        # The default exception formatter prints the values of local variables: keys and documents.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    _processors[:] = [*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # This class drops lines below the level before any processor runs.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask_event, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # At level info these loggers repeat our own lines.
    for chatty in ("uvicorn.error", "httpx", "alembic", "apscheduler"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def mask_event(
    _logger: structlog.types.WrappedLogger, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Mask the fields, message and exception of a line; an earlier step made the exception a text."""
    found: structlog.types.EventDict = masked(dict(event))
    return found
