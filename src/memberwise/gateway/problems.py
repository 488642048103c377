"""Refusals as problem documents (RFC 9457): constant texts, nothing of what went wrong inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
# What can be wrong: its status and title. A detail may be added; it never holds what another machine said.
KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "invalid-json": (400, "The body is not strict JSON"),
    "invalid-request": (400, "The request cannot be understood"),
    "invalid-records": (400, "The records are not what the model takes"),
    "unauthorised": (401, "A valid key or token is needed"),
    "forbidden": (403, "This key does not open what was asked"),
    "not-found": (404, "Nothing is here"),
    "method-not-allowed": (405, "This method is not for this address"),
    "slow-request": (408, "The request took too long to arrive"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body is of a kind that is not read"),
    "rate-exceeded": (429, "Too many requests in this time"),
    "budget-spent": (429, "The budget of questions is spent"),
    "internal": (500, "The gateway failed"),
    "bad-answer": (502, "The model gave no usable answer"),
    "unavailable": (503, "The gateway cannot answer at present"),
    "slow-answer": (504, "The model took too long"),
}


class Problem(Exception):
    """A request that is refused.

    Args:
        kind: one of ``KINDS``.
        detail: a sentence for the client.
        headers: further ones of the answer.
        reason: of a spent budget, whose: "client", "neighbourhood" or "total".
    """

    def __init__(
        self,
        kind: str,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        self.kind, self.reason = kind, reason
        self.status, self.title = KINDS[kind]
        self.detail = detail or f"{self.title}."
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def body(self) -> bytes:
        """The document. ``error`` and ``message`` say the detail again, where clients of v2 and MLflow look for it."""
        values: dict[str, object] = {
            "type": f"urn:problem-type:memberwise:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
            "message": self.detail,
        }
        if self.reason is not None:
            values["reason"] = self.reason
        return json.dumps(values).encode()

    def response(self) -> Response:
        """The answer to the client; it is kept by no cache."""
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(self.body(), self.status, headers, MEDIA_TYPE)
