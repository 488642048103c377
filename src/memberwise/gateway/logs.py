"""Logs as one JSON object a line: what happened and when, never an input, an answer, a key or an error's own text."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import TextIO

LOGGER = logging.getLogger("memberwise.gateway")


class JsonFormatter(logging.Formatter):
    """A record as JSON. Of an exception its type and where it was raised: its text may hold what nobody is to read."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        values: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "values", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            values |= where_raised(record.exc_info[1])
        return json.dumps(values)


def where_raised(error: BaseException) -> dict[str, object]:
    """Type of an exception and the lines it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "lines": lines[-12:]}


def log_to(stream: TextIO | None = None) -> None:
    """Send the gateway's and the server's logs to a stream, as JSON (default: standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    levels = {"memberwise.gateway": logging.INFO, "uvicorn": logging.WARNING, "py.warnings": logging.WARNING}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [], True
