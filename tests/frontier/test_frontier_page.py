"""The frontier's page in a real browser: it fits, its plot can be read, and its points are reached by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memberwise.frontier.page import render
from memberwise.frontier.schema import (
    Accuracy,
    ComparedPoint,
    FrontierResult,
    Strongest,
    StrongestAccuracy,
    StrongestRate,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.services]
EVIL = "<script>alert(1)</script>"


def _point(label: str, accuracy: float, tpr: float) -> ComparedPoint:
    figure: dict[str, Any] = {"n_members": 500, "n_nonmembers": 500, "method": "m", "attacks": 3, "queries": 1}

    def of(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 0.02, "high": value + 0.02, "name": "learned", **figure}

    best = StrongestAccuracy(**of(0.6))
    return ComparedPoint(
        label=label, defence=label, options={}, place="training", training={}, train_accuracy=1.0,
        test_accuracy=Accuracy(accuracy, accuracy - 0.02, accuracy + 0.02, 500, "Wilson"), validation_accuracy=None,
        headline="loss", headline_accuracy=None, tpr=StrongestRate(**of(tpr), fpr=0.01, resolvable="yes"),
        auc=Strongest(**of(0.5 + tpr / 2)), rate="yes", attack_accuracy=best, strongest=best, gap=None, attacks=(),
        by_labels=(), canaries=None, epsilon=None, delta=None, seconds=None, attack_seconds=0.0, warnings=(), cost=1.0,
        beside_undefended=None,
    )  # fmt: skip


@pytest.fixture
def page_text() -> str:
    points = tuple(_point(f"{EVIL} {place}", 0.9 - place / 50, 0.4 / (place + 1)) for place in range(6))
    facts = FrontierResult(
        study={
            "data": {"source": EVIL}, "model": {"name": "mlp"}, "statistics": {"confidence": 0.95},
            "defend": {"max_tpr": None},
        },
        seed=0, seconds=1.0, fpr=0.01, constraint="none", measure="tpr", points=points, unbeaten=(2,), recommended=0,
        alike=(), confirmation=None, left_out=(), failed=(), warnings=(),
    )  # fmt: skip
    return render(facts)


def _opened(browser: Browser, text: str, tmp_path: Path, **context: Any) -> Page:
    file = tmp_path / "frontier.html"
    file.write_text(text, "utf-8")
    page = browser.new_context(**context).new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_page_fits_and_its_plot_is_legible(
    chromium: Browser, axe_source: str, page_text: str, tmp_path: Path, scheme: str
) -> None:
    view = {"width": 390, "height": 900}
    page = _opened(chromium, page_text, tmp_path, viewport=view, color_scheme=scheme, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll(".plot svg text")].map((node) =>
            parseFloat(getComputedStyle(node).fontSize) * Math.hypot(node.getScreenCTM().a, node.getScreenCTM().b)))"""
    )
    assert smallest >= 10
    page.evaluate(axe_source)
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_points_are_read_by_keyboard_and_pointer(chromium: Browser, page_text: str, tmp_path: Path) -> None:
    page = _opened(chromium, page_text, tmp_path)
    points = page.locator("figure").first.locator("a.point")
    assert points.count() == 6
    for place in (0, 3):
        points.nth(place).focus()
        said = page.locator(".pointed").first.inner_text()
        assert said.startswith(f"{EVIL} {place}: TPR at 1% FPR {40 / (place + 1):.1f}%")
        assert f"test accuracy {90 - 2 * place:.1f}%" in said
    points.nth(3).press("Enter")
    assert page.evaluate("location.hash") == "#point-3"
    points.nth(1).hover()
    assert page.locator(".pointed").first.inner_text().startswith(f"{EVIL} 1")
    ticks = [text for text in page.locator("figure").first.locator("svg text").all_text_contents() if text[0].isdigit()]
    assert ticks
    assert all(text.endswith("%") for text in ticks), "axes in per cent, as the table"
