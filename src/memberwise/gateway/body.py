"""A request's body: read within limits of size and time, and parsed as strict JSON."""

from __future__ import annotations

import asyncio
import json
from typing import NoReturn

from starlette.types import Receive

from memberwise.gateway.problems import Problem
from memberwise.targets.replies import depth
from memberwise.types.json import Json, JsonObject


async def read_body(receive: Receive, length: str | None, max_bytes: int, seconds: float) -> bytes:
    """The whole body.

    Args:
        length: the header Content-Length. seconds: until it must be there.

    Raises:
        Problem: it is larger than ``max_bytes``, comes too slowly, or the client went away.
    """
    if length is not None and (not length.isascii() or not length.isdigit() or int(length[:20]) > max_bytes):
        raise too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem("invalid-request", "The body ended before it was whole.")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > max_bytes:
                    raise too_large(max_bytes)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise Problem("slow-request", headers={"Connection": "close"}) from None


def too_large(max_bytes: int) -> Problem:
    """The refusal of a body of more than ``max_bytes``."""
    return Problem("too-large", f"A request has at most {max_bytes} bytes.")


def parse_json(body: bytes, max_depth: int) -> JsonObject:
    """The JSON object in a body.

    Stricter than Python's reader: no NaN or Infinity, no key twice, no number beyond float64, UTF-8 without half
    surrogate pairs, no more than ``max_depth`` levels.

    Raises:
        Problem: it is none of these.
    """
    if depth(body) > max_depth:
        raise Problem("invalid-json", f"The body is nested more than {max_depth} levels deep.")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # the detail is ours, or none: parsers quote the body
        raise Problem("invalid-json", error.args[0] if type(error) is _NotStrict else None) from None
    if not isinstance(value, dict):
        raise Problem("invalid-json", "The body is a JSON object.")
    return value


class _NotStrict(ValueError):
    """What Python's reader would take."""


def _object(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NotStrict("A key stands twice in one object.")
    return value


def _no_constant(name: str) -> NoReturn:
    raise _NotStrict("NaN and Infinity are no JSON numbers.")
