"""The status page in a real browser: looks, reach, and names that would like to be scripts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memberwise.gateway.keys import revoke_key
from memberwise.gateway.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from tests.gateway.status_case import EVIL, facts_of, fill, policy_of, served
else:
    from status_case import EVIL, facts_of, fill, policy_of, served

pytestmark = pytest.mark.slow
SCHEMES = ("light", "dark")
WIDTHS = (1280, 390)


def sign_in(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}/status")
    page.get_by_label("Admin key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="What the budgets stop").wait_for()


def pictured(page: Page, name: str) -> None:
    """Kept in the folder that MEMBERWISE_PICTURES names, to be looked at."""
    if folder := os.environ.get("MEMBERWISE_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_page_has_no_serious_finding_and_fits(
    chromium: Browser, axe_source: str, store: Store, scheme: str, width: int
) -> None:
    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy)) as url:
        # axe is put into the page by the test: the page's own rule for scripts would refuse it.
        context = chromium.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
            bypass_csp=True,
        )
        page = context.new_page()
        page.goto(f"{url}/status")
        for step in ("sign-in", "status"):
            if step == "status":
                sign_in(page, url, key)
            pictured(page, f"{step}-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.evaluate(axe_source)
            found = page.evaluate("axe.run()")["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []
        context.close()


def test_names_with_html_do_no_harm_and_nothing_is_blocked(chromium: Browser, store: Store) -> None:
    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy, model=EVIL)) as url:
        page = chromium.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("warning", "error") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        sign_in(page, url, key)
        assert page.get_by_role("rowheader", name=EVIL).count() == 1
        page.evaluate("refresh()")
        page.wait_for_function("document.getElementById('lost').textContent === ''")
        assert page.get_by_role("rowheader", name=EVIL).count() == 1
        assert page.locator("#live img, #live script").count() == 0
        assert said == []
        assert all(one.startswith(f"{url}/status") or one == "data:," for one in requested)
        assert not any(key in one for one in requested)


def test_injected_script_is_refused_by_the_page(chromium: Browser, store: Store) -> None:
    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy)) as url:
        page = chromium.new_page()
        sign_in(page, url, key)
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.harmed = 1\">')")
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'harmed = 1'}))")
        page.wait_for_timeout(200)
        assert page.evaluate("typeof window.harmed") == "undefined"


def test_revoked_admin_key_ends_the_session_in_the_page(chromium: Browser, store: Store) -> None:
    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy)) as url:
        page = chromium.new_page()
        sign_in(page, url, key)
        revoke_key(store, "operator", now=1.0)
        page.evaluate("refresh()")
        page.get_by_label("Admin key").wait_for()
        assert page.url.endswith("/status/sign-in")


def test_gateway_that_is_gone_is_said_in_the_page(chromium: Browser, store: Store) -> None:
    policy = policy_of()
    key = fill(store, policy)
    page = chromium.new_page()
    with served(store, facts_of(policy)) as url:
        sign_in(page, url, key)
        cookies = page.context.cookies()
        assert [(one["httpOnly"], one["sameSite"], one["path"]) for one in cookies] == [(True, "Strict", "/status")]
    page.evaluate("refresh()")
    page.get_by_text("The gateway does not answer").wait_for()


def test_sign_out_ends_the_session(chromium: Browser, store: Store) -> None:
    policy = policy_of()
    key = fill(store, policy)
    with served(store, facts_of(policy)) as url:
        page = chromium.new_page()
        sign_in(page, url, key)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Admin key").wait_for()
        assert page.context.cookies() == []
        page.goto(f"{url}/status")
        assert page.url.endswith("/status/sign-in")
