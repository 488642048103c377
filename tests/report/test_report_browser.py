"""The report in a real browser: the explorer's figures, sorting, filtering, reach, and contrast decided."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memberwise.report import html
from memberwise.report.formats import shown
from memberwise.statistics import Estimate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.services]

# What axe leaves undecided (text over pictures and sticky columns): contrast by the formula of WCAG 2.2, against the
# nearest background that is painted.
CONTRAST = """() => {
  const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(node.tagName) || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const front = light(parsed(node instanceof SVGElement ? style.fill : style.color)), back = light(behind(node));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) poor.push([ratio.toFixed(2), node.outerHTML.slice(0, 100)]);
  }
  return poor;
}"""


def pictured(page: Page, name: str) -> None:
    """Kept in the folder that MEMBERWISE_PICTURES names, to be looked at."""
    if folder := os.environ.get("MEMBERWISE_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def opened(browser: Browser, text: str, tmp_path: Path, **context: Any) -> Page:
    """The page from a file, where every error of its script fails the test."""
    file = tmp_path / "report.html"
    file.write_text(text, "utf-8", errors="backslashreplace")
    page = browser.new_context(**context).new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", lambda said: pytest.fail(said.text) if said.type == "error" else None)
    page.goto(file.as_uri())
    return page


def figures_of(page: Page) -> dict[str, str]:
    """The explorer's four figures, each with its interval."""
    boxes = page.locator("#explorer-answer dl > div")
    return {
        box.locator("dt").inner_text(): f"{box.locator('.value').inner_text()} {box.locator('.interval').inner_text()}"
        for box in boxes.all()
    }


def test_explorer_says_what_result_json_says(chromium: Browser, whole: str, audit: Any, tmp_path: Path) -> None:
    page = opened(chromium, whole, tmp_path)
    for attack in audit.result["attacks"]:
        page.get_by_label("Attack", exact=True).select_option(label=attack["name"])
        for row in attack["tpr_at_fpr"]:
            page.locator("#explorer-stated").get_by_role("button", name=f"{100 * row['fpr']:g}%", exact=True).click()
            estimate = Estimate(row["value"], row["low"], row["high"], 1500, 1500, "")
            figure = shown(estimate)
            assert figure is not None
            interval = figure.interval if figure.interval == "no interval" else f"95% interval {figure.interval}"
            found = figures_of(page)
            assert found["TPR"] == f"{figure.value} {interval}"
            assert row["method"] in page.locator("#explorer-answer").inner_text()
            assert found["Exposed"].split()[0] == f"{int(1500 * row['value'] + 0.5):,}"
            for prior in (1, 10, 50):
                page.get_by_label("prior").fill(str(prior))
                worth = prior / 100 * row["value"]
                expected = worth / (worth + (1 - prior / 100) * row["fpr"])
                got = float(figures_of(page)["PPV"].split("%")[0]) / 100
                assert got == pytest.approx(expected, abs=6e-4)


def test_explorer_between_rates_reads_the_curve(chromium: Browser, whole: str, audit: Any, tmp_path: Path) -> None:
    page = opened(chromium, whole, tmp_path)
    name, grid = "lira-online-fixed", audit.curves["lira-online-fixed.band_fpr"]
    slider, before = page.get_by_label("wrongly accused"), None
    for place in (3, 20, 35):
        slider.evaluate("(node, place) => { node.value = place; node.dispatchEvent(new Event('input')); }", place)
        text = slider.get_attribute("aria-valuetext")
        assert text is not None
        fpr = float(text.rstrip("%")) / 100
        below = audit.curves[f"{name}.tpr"][audit.curves[f"{name}.fpr"] <= fpr * (1 + 1e-4)].max()
        assert min(abs(grid / fpr - 1)) < 1e-3 or fpr in (0.1, 0.01, 0.001)
        if fpr not in (0.1, 0.01, 0.001):
            assert float(figures_of(page)["TPR"].split("%")[0]) / 100 == pytest.approx(below, abs=6e-4)
            assert "pointwise" in page.locator("#explorer-answer").inner_text()
        assert figures_of(page) != before
        before = figures_of(page)


def test_explorer_refuses_what_is_no_prior(chromium: Browser, whole: str, tmp_path: Path) -> None:
    page = opened(chromium, whole, tmp_path)
    for wrong in ("0", "100", "-3", ""):
        page.get_by_label("prior").fill(wrong)
        assert "between 0 and 100%" in page.locator("#explorer-answer").inner_text()


def test_attacks_are_folded_sorted_and_filtered(chromium: Browser, audit: Any, tmp_path: Path) -> None:
    attacks = audit.result["attacks"]
    attacks += [{**attacks[1], "name": f"another-{place}"} for place in range(8)]
    page = opened(chromium, html.render(audit.parts, audit.scores, audit.curves), tmp_path)
    rows = page.locator("#attack-table tr[data-needs]:visible")
    assert (rows.count(), len(attacks)) == (10, 17)
    assert "lira-online-fixed" in rows.first.inner_text()
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Show all 17").press("Enter")
    assert rows.count() == 17
    page.get_by_role("button", name="AUC", exact=True).press("Enter")
    areas = [float(row.locator("td").first.get_attribute("data-value") or "nan") for row in rows.all()]
    assert areas == sorted(areas, reverse=True)
    page.get_by_role("button", name="AUC", exact=True).click()
    assert float(rows.first.locator("td").first.get_attribute("data-value") or "nan") == min(areas)
    page.get_by_label("Filter").fill("POPULATION")
    assert {row.locator("th").inner_text() for row in rows.all()} == {"attack-p", "rmia-online"}
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Group by needs").click()
    assert "lira-online-fixed" in rows.first.inner_text()
    page.get_by_role("button", name="Show the first 10").click()
    assert rows.count() == 10
    page.emulate_media(media="print")
    assert rows.count() == 17, "paper has every row"


def test_record_opens_by_keyboard_and_prints(chromium: Browser, whole: str, tmp_path: Path) -> None:
    page = opened(chromium, whole, tmp_path)
    plot = page.locator("details.record svg").first
    assert not plot.is_visible()
    page.locator("details.record summary").first.press("Enter")
    assert plot.is_visible()
    page.locator("details.record summary").first.press("Enter")
    page.emulate_media(media="print")
    assert page.locator("details.record svg").last.bounding_box()["height"] > 0  # type: ignore[index]


def test_page_without_script_has_every_figure(chromium: Browser, whole: str, audit: Any, tmp_path: Path) -> None:
    page = opened(chromium, whole, tmp_path, java_script_enabled=False)
    assert page.locator("#attack-table tr[data-needs]:visible").count() == len(audit.result["attacks"])
    assert page.locator("#explorer td:visible").count() == 3 * 5
    assert not page.locator("#explorer-form").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_finding_and_contrast_is_decided(
    chromium: Browser, axe_source: str, whole: str, tmp_path: Path, scheme: str, width: int
) -> None:
    view = {"width": width, "height": 900}
    page = opened(chromium, whole, tmp_path, color_scheme=scheme, viewport=view, bypass_csp=True)
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    pictured(page, f"report-{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(axe_source)
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate(CONTRAST) == []


def test_names_with_html_do_no_harm(chromium: Browser, hostile: Any, tmp_path: Path) -> None:
    page = opened(chromium, html.render(hostile.parts, hostile.scores, hostile.curves), tmp_path)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    name = hostile.result["attacks"][1]["name"]
    page.get_by_label("Attack", exact=True).select_option(label=name)
    assert page.locator("#explorer-attack option:checked").inner_text() == name
    page.get_by_role("button", name="Attack", exact=True).click()
    assert page.locator("script").count() == 2


def test_fifty_thousand_records_open(chromium: Browser, large: Any, tmp_path: Path) -> None:
    page = opened(chromium, html.render(large.parts, large.scores, large.curves), tmp_path)
    assert "25,000" in figures_of(page)["Exposed"] or "25,000" in page.locator("#explorer-answer").inner_text()
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
