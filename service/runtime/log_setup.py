"""Log lines: for people on a terminal, JSON elsewhere; the standard library's loggers write them, too.

No line shows a secret: masking is the last step, after which nothing is added.
"""

import logging
import sys
from typing import Literal

import structlog

from service.masking.values import masked

# The same list after each call of `configure`: a logger that was used before keeps its list.
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
        # The default one prints the values of local variables: keys and documents would end up in the log.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    _processors[:] = [*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Lines below the level cost nothing.
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
    # These repeat at info what our own lines say.
    for chatty in ("uvicorn.error", "httpx", "alembic", "apscheduler"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def mask_event(
    _logger: structlog.types.WrappedLogger, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Mask the fields, the message and the exception of a line; the exception is text by now."""
    found: structlog.types.EventDict = masked(dict(event))
    return found
