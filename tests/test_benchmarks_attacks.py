"""The benchmark of attacks still runs, and its page says what its figures say. Figures themselves are not tested."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

FOLDER = Path(__file__).parents[1] / "benchmarks" / "attacks"


@pytest.mark.slow
def test_a_rehearsal_on_digits_is_stored_and_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            FOLDER / "measure.py",
            "--quick",
            "--pools",
            tmp_path / "pools",
            "--results",
            tmp_path / "attacks.json",
            "--page",
            tmp_path / "README.md",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (found,) = [section["found"] for section in json.loads((tmp_path / "attacks.json").read_text())["data"].values()]
    assert list(found) == ["2", "4"]
    assert {"learned", "learned-offline"} <= set(found["4"]) - set(found["2"]), "two shadow models are too few"
    assert all(len(figures["auc"]) == len(figures["tpr"]) == 2 for at in found.values() for figures in at.values())
    assert {"base", "base at T = 1", "base, T tuned"} <= set(found["4"])
    readme = (tmp_path / "README.md").read_text()
    assert f"| lira-online-fixed |  | {np.mean(found['4']['lira-online-fixed']['auc']):.3f} |" in readme


def test_the_stored_page_is_made_from_the_stored_figures() -> None:
    page = _page()
    run = json.loads((FOLDER.parent / "results" / "attacks.json").read_text())
    assert (FOLDER / "README.md").read_text() == page.page(run)


def test_the_page_of_mismatches_is_made_from_the_figures() -> None:
    page, found = _page("mismatch_page"), json.loads((FOLDER.parent / "results" / "mismatch.json").read_text())
    assert page.complete(found)
    assert (FOLDER / "mismatch.md").read_text() == page.page(found)
    ours = [at["8"]["learned"] for cases in found.values() for at in cases.values()]
    far, marked = ([np.mean(at["ece"]) > 0.05 for at in ours], [min(at["calibrated"]) == 0 for at in ours])
    wanted = [len(ours), np.sum(far), np.logical_and(far, marked).sum(), (~np.array(far) & marked).sum()]
    cells = [cell.split("/")[0].strip() for cell in page.short(found)[-1].split("|")]
    assert [int(cells[i]) for i in (2, 4, 5, 6)] == wanted


@pytest.mark.slow
def test_a_rehearsal_of_cascades_is_stored(tmp_path: Path) -> None:
    words = ["--tiny", "--pools", str(tmp_path / "pools"), "--out", str(tmp_path / "cascade.json")]
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / "cascade.py", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (cases,) = json.loads((tmp_path / "cascade.json").read_text()).values()
    assert set(cases) == {"matched", "null"}
    for place in cases.values():
        assert set(place) == {"learned, 4", "cascade, 4 + 4", "learned, 8", "cascade, 8 + 4", "cascade, 8 + 8"}
        assert all(len(row["auc"]) == 2 for row in place.values())
    assert np.mean(cases["null"]["cascade, 8 + 8"]["auc"]) == pytest.approx(0.5, abs=0.08)


def test_the_pages_of_cascades_are_made_from_the_figures() -> None:
    page, found = _page("cascade_page"), json.loads((FOLDER.parent / "results" / "cascade.json").read_text())
    assert (FOLDER / "cascade.md").read_text() == page.page(found)
    assert "\n".join(page.summary(found)) in (FOLDER.parents[1] / "docs" / "cascade.md").read_text()
    matched = {pool: cases["matched"] for pool, cases in found.items() if "matched" in cases}
    means = [[np.mean(place[name]["auc"]) for name in (page.ALONE, page.EQUAL)] for place in matched.values()]
    assert all(equal > alone for alone, equal in means), "docs/cascade.md says so"


def test_paired_differences_have_students_interval() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=8), rng.normal(size=8)
    mean, low, high = _page().difference(list(here), list(there))
    expected = stats.ttest_rel(here, there).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean == pytest.approx((here - there).mean())


def _page(name: str = "page") -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
