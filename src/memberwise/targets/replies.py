"""JSON of somebody else's: how deep it is nested is looked at before it is read."""

from __future__ import annotations

import json
import re

import numpy as np

from memberwise.types.json import Json

# Deeper than any answer: Python's reader would recurse until something breaks, perhaps elsewhere.
MOST_DEPTH = 64
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
OPENING = np.zeros(256, np.int32)
OPENING[list(b"[{")], OPENING[list(b"]}")] = 1, -1


def depth(body: bytes) -> int:
    """How many levels deep brackets are nested, outside strings."""
    brackets = STRING.sub(b"", body).translate(None, NOT_BRACKETS)
    return int(OPENING[np.frombuffer(brackets, np.uint8)].cumsum().max(initial=0))


def read_json(body: bytes) -> Json:
    """The document.

    Raises:
        ValueError: it is none, or nested more than ``MOST_DEPTH`` levels deep.
    """
    if depth(body) > MOST_DEPTH:
        raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
    document: Json = json.loads(body)
    return document
