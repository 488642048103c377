"""Plots as methods, tidy frames, two results side by side."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memberwise as mw
from memberwise.report.result import Result


@pytest.fixture
def result(audit: Any) -> Result:
    return Result(audit.result, audit.scores, audit.curves)


def test_frame_has_a_row_for_every_figure(result: Result) -> None:
    frame = result.frame
    attacks = result.data["attacks"]
    assert len(frame) == sum(5 + len(attack["tpr_at_fpr"]) for attack in attacks)
    for attack in attacks:
        rows = frame[frame["attack"] == attack["name"]]
        area = rows[rows["metric"] == "auc"].iloc[0]
        assert (area["value"], area["low"], area["high"]) == tuple(
            attack["auc"][key] for key in ("value", "low", "high")
        )
        stated = rows[rows["metric"] == "tpr"].set_index("fpr")["value"]
        assert stated.to_dict() == {row["fpr"]: row["value"] for row in attack["tpr_at_fpr"]}
    assert frame[frame["metric"] != "tpr"]["fpr"].isna().all()


def test_plots_stand_alone_and_can_be_saved(result: Result, tmp_path: Path) -> None:
    index = result.data["records"]["worst"][2]["index"]
    plots = [result.plot.roc(["loss", "gap"]), result.plot.scores("loss"), result.plot.records(index)]
    for place, plot in enumerate(plots):
        file = plot.save(tmp_path / f"{place}.svg")
        assert ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in file.read_text(), "colours of its own"
    assert f"Record {index}" in repr(plots[2])


@pytest.mark.parametrize(
    "drawn", [lambda plot: plot.roc(["nobody"]), lambda plot: plot.scores("nobody"), lambda plot: plot.records(-1),
              lambda plot: plot.turns()],
)  # fmt: skip
def test_what_cannot_be_drawn_says_what_can(result: Result, drawn: Any) -> None:
    with pytest.raises(mw.StudyError):
        drawn(result.plot)


def test_comparison_tells_apart_by_intervals(audit: Any, result: Result) -> None:
    later = copy.deepcopy(audit.result)
    later["attacks"][7]["auc"] |= {"value": 0.2, "low": 0.1, "high": 0.3}
    compared = mw.compare(result, Result(later, audit.scores, audit.curves), ("old", "new"))
    frame = compared.frame
    changed = frame[frame["finding"].str.contains("leaks")]
    assert changed[["attack", "metric", "finding"]].to_numpy().tolist() == [
        ["lira-online-fixed", "auc", "new leaks less"]
    ]
    assert changed["difference"].item() == pytest.approx(0.2 - audit.result["attacks"][7]["auc"]["value"])
    assert np.isnan(frame[frame["finding"] == "no interval"]["low_old"]).all()
    assert "lira-online-fixed AUC: new leaks less" in repr(compared)
    assert "new leaks less" in compared.to_markdown()
    with pytest.raises(mw.StudyError):
        mw.compare(result, result, ("A", "A"))
