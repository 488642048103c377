from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

import memberwise as mw
from memberwise.report.html import render
from memberwise.report.sections.encoding import lines


@pytest.fixture(scope="module")
def audited() -> mw.Result:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"": np.arange(80), "age": rng.integers(20, 40, 80), "sex": rng.choice(["f", "<m>"], 80)})
    frame = frame.assign(visit=rng.integers(0, 3, 80), y=rng.integers(0, 2, 80))
    return mw.audit(
        data=frame,
        label="y",
        drop="visit",
        model=GaussianNB(),
        members=30,
        nonmembers=30,
        shadow_models=2,
        attacks=["loss"],
    )


@pytest.mark.slow
def test_the_result_says_what_was_done_to_the_records(audited: mw.Result) -> None:
    part = audited.to_dict()["encoding"]
    assert (part["kind"], part["records"], part["features"]) == ("table", 80, 3)
    assert part["standardised"] == ["age"]
    assert [column["column"] for column in part["one_hot"]] == ["sex"]
    assert {column["column"] for column in part["dropped"]} == {"", "visit"}
    assert "row-number" in {warning["code"] for warning in audited.to_dict()["warnings"]}


@pytest.mark.slow
def test_the_report_says_it_in_words(audited: mw.Result) -> None:
    page = render(audited.parts, audited.scores, audited.curves)
    assert "What was done to the records" in page
    assert "visit (data.drop)" in page
    assert "sex (2 levels)" in page
    said = dict(lines(audited.parts))
    assert said["brought to mean 0 and standard deviation 1"] == "age"


def test_nothing_is_said_where_nothing_is_known(audit: Any) -> None:
    assert lines(audit.parts) == []
