"""Marks are what the stored measurements say, and nothing else says that a defence raises leakage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.defences import measured as module
from memberwise.defences.measured import Measurement, measured, measurements, raised_leakage
from memberwise.defences.output.registry import OUTPUT_DEFENCES
from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.frontier.points import ANSWER

NAMES = [*TRAINING_DEFENCES, *(f"{ANSWER}{n}" if n in TRAINING_DEFENCES else n for n in OUTPUT_DEFENCES)]
DOCS = Path(__file__).parents[2] / "docs/defences.md"


def listing(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("COLUMNS", "900")
    lines = CliRunner().invoke(app, ["list", "defences"]).stdout.splitlines()
    rows = [re.split(r"\s{1,}(?=in training|in the answer)", line, maxsplit=1) for line in lines[1:]]
    return {(f"{ANSWER}{n}" if w.startswith("in the answer") and n in TRAINING_DEFENCES else n): w for n, w in rows}


def test_what_is_not_measured_is_said() -> None:
    known = {one.defence for one in measurements()}
    assert known <= set(NAMES)
    line = re.search(r"^Not measured, and so not marked either way: (.*)\.$", DOCS.read_text(), re.MULTILINE)
    assert set(NAMES) - known == set(re.findall(r"`([^`]+)`", line[1] if line else ""))


@pytest.mark.parametrize("one", measurements(), ids=lambda one: f"{one.defence} on {one.data}")
def test_findings_are_what_intervals_say(one: Measurement) -> None:
    told = "lower" if one.high < 0 else "higher" if one.low > 0 else "not told apart"
    assert one.finding == told
    assert one.low <= one.auc - one.undefended <= one.high
    assert min(one.members, one.nonmembers) >= 500
    assert one.attack
    assert one.against


def test_marks_are_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = listing(monkeypatch)
    assert set(shown) == set(NAMES)
    marked = {name for name, words in shown.items() if "RAISED LEAKAGE" in words}
    assert marked == {one.defence for one in measurements() if one.low > 0}
    assert {name for name, d in TRAINING_DEFENCES.items() if d.raises_leakage} == marked & set(TRAINING_DEFENCES)
    for name in marked:
        for one in raised_leakage(name):
            assert f"{one.data} (AUC {one.auc:.3f}, undefended {one.undefended:.3f})" in shown[name]


def test_what_was_reported_stands_beside_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = listing(monkeypatch)
    reported = {name for name, d in TRAINING_DEFENCES.items() if d.reported}
    assert reported >= {"adversarial-training", "label-smoothing"}
    for name in reported:
        assert f"Reported: {TRAINING_DEFENCES[name].reported}; measured here: " in shown[name]
        assert all(one.words() in shown[name] for one in measured(name))


def test_a_mark_goes_with_its_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the name of a defence: other measurements, other marks."""
    one = measurements()[0]
    more = Measurement(**{**vars(one), "defence": "dropout", "low": 0.01, "high": 0.05, "finding": "higher"})
    monkeypatch.setattr(module, "measurements", lambda: (more,))
    shown = listing(monkeypatch)
    assert {name for name, words in shown.items() if "RAISED LEAKAGE" in words} == {"dropout"}


def test_documents_and_summaries_say_what_was_measured_alone() -> None:
    text = DOCS.read_text()
    assert not re.search(r"\*\*(raises|raised) leakage", text, re.IGNORECASE), "marks are in the table"
    table = text.split("<!-- measured: ")[1].split("<!-- end of measured")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]
    assert [(row[0], row[1]) for row in rows] == [(f"`{one.defence}`", one.data) for one in measurements()]
    for row, one in zip(rows, measurements(), strict=True):
        assert f"{one.auc:.3f} ({one.attack}), {one.undefended:.3f} ({one.against})" == row[3]
        assert f"[{one.low:+.3f}, {one.high:+.3f}]" in row[4]
        assert row[5] == ("**raised**" if one.low > 0 else "lower" if one.high < 0 else "not told apart")
    for name, defence in TRAINING_DEFENCES.items():
        assert not re.search(r"rais\w+ leakage|stand out more", defence.summary), name
