"""The status page: HTML from the server, behind an admin key; its script fetches nothing but the page's own middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from memberwise.errors import StoreError
from memberwise.gateway.policy import Tier
from memberwise.gateway.sessions import COOKIE, LASTS, is_signed_in, sign_in
from memberwise.gateway.status import Facts, Status, alike, status_of
from memberwise.gateway.store import Store

PATH = "/status"
SIGN_IN = f"{PATH}/sign-in"
# A key has 46 characters.
LONGEST_FORM = 1000
# The store is read at most once in so many seconds, however many pages are open.
FRESH = 2.0
# Clients and alarms listed at most.
LISTED = 200
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
TIER_WORDS: dict[Tier | None, str] = {
    "vector": "scores of all classes",
    "top-3": "three rounded scores",
    "label": "the label",
    None: "refused",
}


def status_routes(
    facts: Callable[[], Awaitable[Facts]], store: Store, secret: bytes, now: Callable[[], float]
) -> list[BaseRoute]:
    """The page's addresses, all below ``/status``.

    Args:
        facts: what this gateway knows now.
        secret: of the gateway. now: seconds since 1970.
    """
    reader = _Reader(facts, store, now)

    async def signed_in(request: Request) -> bool:
        return await asyncio.to_thread(is_signed_in, store, request.cookies.get(COOKIE), secret, now())

    async def page(request: Request) -> Response:
        if not await signed_in(request):
            return _redirect(SIGN_IN)
        return _html(render(await reader.read()))

    async def fragment(request: Request) -> Response:
        if not await signed_in(request):
            return _html("", 401)
        return _html(render(await reader.read(), "status_body.html.j2"))

    async def form(request: Request) -> Response:
        return _redirect(PATH) if await signed_in(request) else _html(_form(wrong=False))

    async def enter(request: Request) -> Response:
        token = await _posted_key(request)
        cookie = None if token is None else await asyncio.to_thread(sign_in, store, token, secret, now())
        if cookie is None:
            return _html(_form(wrong=True), 403)
        response = _redirect(PATH)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, max_age=LASTS, path=PATH, secure=secure, httponly=True, samesite="strict")
        return response

    async def leave(request: Request) -> Response:
        response = _redirect(SIGN_IN)
        response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
        return response

    async def style(_: Request) -> Response:
        return Response(stylesheet(), headers={**HEADERS, "Content-Type": "text/css; charset=utf-8"})

    async def script(_: Request) -> Response:
        text = _environment().get_template("status.js").render(refused=SIGN_IN, fragment=f"{PATH}/fragment")
        return Response(text, headers={**HEADERS, "Content-Type": "text/javascript; charset=utf-8"})

    return [
        Route(PATH, _guarded(page), methods=["GET"]),
        Route(f"{PATH}/fragment", _guarded(fragment), methods=["GET"]),
        Route(SIGN_IN, _guarded(form), methods=["GET"]),
        Route(SIGN_IN, _guarded(enter), methods=["POST"]),
        Route(f"{PATH}/sign-out", _guarded(leave), methods=["POST"]),
        Route(f"{PATH}/status.css", style, methods=["GET"]),
        Route(f"{PATH}/status.js", script, methods=["GET"]),
    ]


def render(status: Status, template: str = "status.html.j2") -> str:
    """The page, or its middle (``status_body.html.j2``); every name in it is escaped."""
    return (
        _environment()
        .get_template(template)
        .render(
            status=status, path=PATH, tiers=TIER_WORDS, listed=LISTED, alike=alike, seconds=_ago(status.now), time=_time
        )
    )


@cache
def stylesheet() -> str:
    """The report's style, and what the status page adds."""
    report = files("memberwise.report").joinpath("templates/report.css").read_text("utf-8")
    return report + files("memberwise.gateway").joinpath("templates/status.css").read_text("utf-8")


class _Reader:
    """Reads the status once for all who ask at the same time."""

    def __init__(self, facts: Callable[[], Awaitable[Facts]], store: Store, now: Callable[[], float]) -> None:
        self.facts, self.store, self.now = facts, store, now
        self.lock = asyncio.Lock()
        self.read_at, self.status = float("-inf"), None

    status: Status | None

    async def read(self) -> Status:
        async with self.lock:
            time = asyncio.get_running_loop().time()
            if self.status is None or time - self.read_at > FRESH:
                facts = await self.facts()
                self.status = await asyncio.to_thread(status_of, self.store, facts, self.now())
                self.read_at = time
            return self.status


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # Another site's page must neither sign a browser in nor out; browsers say where a request comes from.
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and request.method == "POST":
            return _html("", 403)
        try:
            return await endpoint(request)
        except StoreError:
            return _html(_environment().get_template("away.html.j2").render(path=PATH), 503)

    return answer


async def _posted_key(request: Request) -> str | None:
    """The key of the form; None where there is none, or too much."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            return None
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=5)["key"][0].strip()
    except (KeyError, ValueError):
        return None


def _form(*, wrong: bool) -> str:
    return _environment().get_template("sign_in.html.j2").render(path=PATH, action=SIGN_IN, wrong=wrong)


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, headers={**HEADERS, "Content-Type": "text/html; charset=utf-8"})


def _redirect(path: str) -> Response:
    return RedirectResponse(path, 303, headers=HEADERS)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(now: float) -> Callable[[float], str]:
    """How long ago, in words."""

    def words(seconds: float) -> str:
        ago = max(0, int(now - seconds))
        for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
            if ago >= size:
                return f"{ago // size} {unit}{'s' if ago >= 2 * size else ''} ago"
        return f"{ago} s ago"

    return words


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("memberwise.gateway"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
