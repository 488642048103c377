"""A real Chromium, and axe, which looks for what keeps people from using a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .processes import HOW, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = ROOT / ".services" / "axe" / "package" / "axe.min.js"


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """A browser, new for each test: playwright's event loop would be in the way of other tests' loops."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip(f"needs Chromium: apt-get install chromium {HOW}")
    from playwright.sync_api import sync_playwright

    # Chromium's own sandbox refuses root and most containers.
    flags = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session")
def axe_source() -> str:
    """The script of axe-core, to be evaluated in a page, then ``axe.run()``."""
    if not AXE.is_file():
        pytest.skip(f"needs axe-core: make services, with npm installed {HOW}")
    return AXE.read_text("utf-8")
