from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memberwise.errors import StudyError
from memberwise.report import files
from memberwise.report.result import Result
from memberwise.statistics.estimate import Estimate


@pytest.fixture
def result(audit: Any) -> Result:
    return Result(audit.result, audit.scores, audit.curves)


def test_figures_come_as_estimates(result: Any) -> None:
    row = result.data["attacks"][7]["tpr_at_fpr"][1]
    assert result.tpr(at_fpr=1e-2) == Estimate(
        row["value"], row["low"], row["high"], row["n_members"], row["n_nonmembers"], row["method"]
    )
    assert result.tpr(at_fpr=0.1, attack="loss").value == result.data["attacks"][1]["tpr_at_fpr"][0]["value"]
    assert result.auc().value == result.data["attacks"][7]["auc"]["value"]
    assert result.auc("gap").value == result.data["attacks"][0]["auc"]["value"]


def test_a_rate_is_found_though_it_was_computed(result: Any) -> None:
    assert result.tpr(at_fpr=0.1 * 0.1).value == result.tpr(at_fpr=0.01).value


def test_what_is_not_there_is_refused_with_what_is(result: Any) -> None:
    with pytest.raises(StudyError, match=r"expected: 0\.1, 0\.01, 0\.001"):
        result.tpr(at_fpr=0.05)
    with pytest.raises(StudyError, match=r"the attack nonsense was not run\n.*gap, loss"):
        result.auc("nonsense")
    result.data["attacks"][0]["auc"] = None
    with pytest.raises(StudyError, match="gap has no AUC"):
        result.auc("gap")


@pytest.mark.parametrize(
    ("gate", "passed", "expected", "code"),
    [(None, None, None, 0), ("auc>0.6", True, True, 0), ("auc>0.6", False, False, 1), ("auc>0.6", None, None, 3)],
)
def test_the_exit_code_is_the_verdict(
    result: Any, gate: str | None, passed: bool | None, expected: bool | None, code: int
) -> None:
    result.data["verdict"] = {"gate": gate, "passed": passed, "reason": ""}
    assert result.passed is expected
    assert result.exit_code == code


@pytest.mark.slow
def test_it_is_read_back_from_its_folder(result: Any, tmp_path: Path) -> None:
    files.write_all(tmp_path, result.parts, result.scores, result.curves)
    back = Result.load(tmp_path)
    assert back.folder == tmp_path
    assert back.to_json() == result.to_json() == (tmp_path / "result.json").read_text()
    assert back.to_dict() == json.loads(result.to_json())
    assert back.to_html(tmp_path / "again.html").read_text() == (tmp_path / "report.html").read_text()


def test_the_dict_is_a_copy(result: Any) -> None:
    result.to_dict()["attacks"][0]["auc"]["value"] = -1
    assert result.auc("gap").value > 0


def test_it_shows_itself_in_words_and_in_a_notebook(result: Any, hostile: Any) -> None:
    assert repr(result).startswith("<Result inconclusive: If 1% of non-members")
    table = result._repr_html_()
    assert table.count("<tr>") == 10
    assert "lira-online-fixed (headline)" in table
    assert "(no interval)" in table
    assert "<script" not in Result(hostile.result, hostile.scores)._repr_html_()


@pytest.mark.slow
def test_the_room_loads_neither_torch_nor_matplotlib() -> None:
    rooms = "memberwise.report.result, memberwise.report.terminal, memberwise.report.compare"
    code = f"import sys, {rooms}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "memberwise.report.html" in loaded
    assert not {"torch", "matplotlib"} & set(loaded)
