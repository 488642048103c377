"""Claims: verdicts, the file, the page and the plots made from it."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from memberwise.errors import MemberwiseError
from memberwise.reproduce.claim import Claim, Condition, Findings, Ours, Plot, Row, Series, Setting, judged
from memberwise.reproduce.page import keep, page, write_page
from memberwise.reproduce.plots import draw
from memberwise.reproduce.published import Figure
from memberwise.reproduce.terminal import print_claim
from memberwise.reproduce.text import ours_cell, published_cell, reasons_of

THEIRS = Figure("kaplan-baseline", "slides' system", "test accuracy", 0.9357, 0.00005, "slides")
DOCS = Path(__file__).parents[2] / "docs" / "reproductions"


def ours(value: float, low: float | None, high: float | None) -> Ours:
    return Ours(value, low, high, 1000, "Clopper-Pearson", (1,))


def row(found: Ours | None, **options: object) -> Row:
    return Row("slides' system", "test accuracy", THEIRS, found, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (row(ours(0.93, 0.92, 0.94)), "agrees"),
        (row(ours(0.93, 0.92, 0.93566)), "agrees"),  # their last digit may have been rounded up
        (row(ours(0.93, 0.92, 0.93564)), "differs"),
        (row(ours(0.93565, 0.93565, 0.93565)), "agrees"),  # rounds to it, whatever the last bit of a float
        (row(ours(0.93, None, None)), "differs"),
        (row(ours(0.93, 0.92, 0.931), tolerance=0.006), "within tolerance"),
        (row(ours(0.93, 0.92, 0.931), tolerance=0.005), "differs"),
        (row(ours(0.5, 0.4, 0.6), comparable=False), "not compared"),
        (row(ours(0.93, 0.92, 0.94), fitted=("training size",)), "fitted to match"),
        (row(ours(0.93, 0.92, 0.931), tolerance=0.006, fitted=("training size",)), "fitted to match"),
        (row(ours(0.93, 0.92, 0.931), fitted=("training size",)), "differs"),
        (row(ours(0.93, 0.92, 0.94), floor=0.925), "fitted to match"),  # guessing gives it
        (row(ours(0.93, 0.92, 0.94), floor=0.5), "agrees"),
        (row(ours(0.93, 0.92, 0.94), void="a model that has learnt"), "invalid"),
        (row(ours(0.5, 0.4, 0.6), comparable=False, void="a model that has learnt"), "invalid"),
        (row(None), "not run"),
        (Row("a", "b", None, ours(0.5, 0.4, 0.6)), "not published"),
    ],
)
def test_verdict(line: Row, verdict: str) -> None:
    assert line.verdict == verdict


def test_only_a_missed_tolerance_fails() -> None:
    assert row(ours(0.8, 0.79, 0.81), tolerance=0.01).failed
    assert not row(ours(0.8, 0.79, 0.81)).failed
    assert not row(ours(0.8, 0.79, 0.81), tolerance=0.01, comparable=False).failed


def a_claim(size: str = "quick") -> Claim:
    plots = (
        Plot(
            "range",
            "Over the range",
            "r",
            "accuracy",
            (Series("ours", (1.0, 2.0), (0.5, 0.6), (0.4, 0.5), (0.6, 0.7)),),
        ),
        Plot("densities", "IN and OUT", "phi", "density", (Series("IN", (0.0, 1.0, 2.0), (0.2, 0.8)),), kind="steps"),
    )
    findings = Findings((row(ours(0.9, 0.89, 0.91), why="a | b"), row(None, why="not part")), plots, ("Learnt.",))
    machine = {"processor": "P", "cores": 2, "gpu": None}
    versions = {"torch": "2"}
    return Claim(
        "kaplan-baseline", "T", size, ("mnist",), "", (1,), 2.5, "2026-01-01", "abc", machine, versions, findings
    )


def test_a_claim_comes_back_from_its_file(tmp_path: Path) -> None:
    a_claim().save(tmp_path / "claim.json")
    assert Claim.load(tmp_path / "claim.json") == a_claim()
    assert json.loads((tmp_path / "claim.json").read_text())["findings"]["rows"][0]["verdict"] == "differs"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1}', '{"schema_version": 2, "name": "x"}'])
def test_what_is_no_claim_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim.json").write_text(content)
    with pytest.raises(MemberwiseError, match="not a claim file"):
        Claim.load(tmp_path / "claim.json")


def test_the_page_is_made_from_the_kept_files(tmp_path: Path) -> None:
    a_claim().save(tmp_path / "claim.json")
    text = keep(a_claim(), tmp_path, tmp_path / "kept").read_text()
    assert "93.57% | 90.0% [89.0, 91.0] | — | 1,000 | differs (1) |" in text
    assert text.count("(1) a | b.") == 1
    assert "Not run: 1 figure (slides' system): not part." in text
    assert "| [kaplan-baseline](#kaplan-baseline) | quick | mnist | **1** | — | — | 1 | — | — | 1 | — |" in text
    assert "(Kaplan's slides). Not run: `memberwise reproduce kaplan-baseline --full`." in text
    assert "Not run: `memberwise reproduce kaplan-image --quick`. Not run: `member" in text
    for link in ("plots/kaplan-baseline-quick-range.svg", "plots/kaplan-baseline-quick-densities.svg"):
        assert f"]({link})" in text
        ElementTree.parse(tmp_path / "kept" / link)


def test_a_page_drops_plots_that_no_claim_has(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "old.svg").write_text("<svg/>")
    a_claim().save(tmp_path / "kaplan-baseline-quick.json")
    write_page(tmp_path)
    assert {file.name for file in (tmp_path / "plots").iterdir()} == {
        "kaplan-baseline-quick-range.svg",
        "kaplan-baseline-quick-densities.svg",
    }


def test_what_was_fitted_is_told_apart_and_said_once(tmp_path: Path) -> None:
    size = Setting("training size", "6,000", "fitted", "nearest")
    other = Setting("mix", "56:44", "fitted", "", ("another row",))
    claim = a_claim()
    agreeing = replace(claim.findings.rows[0], ours=ours(0.93, 0.92, 0.94))
    findings = judged(replace(claim.findings, rows=(agreeing,)), (size, other))
    assert [row.fitted for row in findings.rows] == [("training size",)]
    claim = replace(claim, findings=findings, settings=(size, other))
    claim.save(tmp_path / "kaplan-baseline-quick.json")
    text = write_page(tmp_path).read_text()
    assert "| — | 1 | — | — | — | — | training size, mix |" in text
    assert text.count("chosen by looking at the published figures: training size") == 1
    assert "Chosen by looking at the published figures: training size: 6,000 (nearest); mix: 56:44." in text


def test_a_broken_condition_makes_the_rows_it_concerns_invalid(tmp_path: Path) -> None:
    rows = tuple(Row(setting, "a", None, ours(0.5, 0.4, 0.6)) for setting in ("cifar10, DP-SGD", "lfw62, DP-SGD"))
    broken = Condition("a model that has learnt", False, "10.1 % of 10 classes", ("cifar10",))
    found = judged(Findings(rows, (), (), (broken, replace(broken, holds=True, rows=()))), ())
    assert [row.verdict for row in found.rows] == ["invalid", "not published"]
    claim = replace(a_claim(), findings=found)
    assert claim.broken == [broken]
    assert [row.setting for row in claim.failed] == ["cifar10, DP-SGD"]
    claim.save(tmp_path / "kaplan-baseline-quick.json")
    assert "**Invalid**: a model that has learnt; 10.1 % of 10 classes." in write_page(tmp_path).read_text()


def test_plots_are_the_same_twice() -> None:
    plot = a_claim().findings.plots[0]
    assert draw(plot) == draw(plot)


@pytest.mark.slow
def test_the_kept_page_is_the_one_its_claim_files_make(tmp_path: Path) -> None:
    files = sorted(DOCS.glob("*.json"))
    assert (DOCS / "README.md").read_text("utf-8") == page([Claim.load(file) for file in files])
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_page(tmp_path)
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.svg")}
    assert made == {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.svg")}


@pytest.mark.parametrize("file", sorted(DOCS.glob("*.json")), ids=lambda file: file.stem)
def test_the_table_fits_a_terminal_of_80_columns(file: Path) -> None:
    claim, output = Claim.load(file), StringIO()
    print_claim(claim, Console(file=output, width=80))
    printed = output.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    for line in claim.findings.rows:
        assert ours_cell(line) in printed
        assert line.published is None or published_cell(line) in printed
    reasons = reasons_of(claim.findings.rows)
    for place in range(1, len(reasons) + 1):
        assert f"({place}) " in printed, "a reason is given below the table"


def test_a_setting_is_named_where_it_begins() -> None:
    rows = tuple(Row(setting, measure, None, ours(0.5, 0.4, 0.6)) for setting in "ab" for measure in ("one", "two"))
    claim, output = replace(a_claim(), findings=Findings(rows, (), ())), StringIO()
    print_claim(claim, Console(file=output, width=80))
    assert [line.split()[0] for line in output.getvalue().splitlines()[2:6]] == ["a", "two", "b", "two"]
