from __future__ import annotations

import math
from typing import Any

import pytest

from memberwise.report import formats
from memberwise.statistics import Estimate


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.1234, "12.3%"), (0.5, "50.0%"), (1.0, "100.0%"), (0.0, "0.0%"), (0.0042, "0.42%"), (0.00042, "0.042%"),
        (0.9996, "99.960%"), (0.995, "99.50%"), (-0.02, "-2.0%"), (None, "\u2013"),
        (float("nan"), "\u2013"), (1, "100.0%"),
    ],
)  # fmt: skip
def test_a_share_gets_the_digits_it_deserves(share: Any, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(("fpr", "text"), [(0.1, "10%"), (0.01, "1%"), (0.001, "0.1%"), (1e-5, "0.001%")])
def test_a_rate_is_spoken_without_idle_zeros(fpr: float, text: str) -> None:
    assert formats.rate(fpr) == text


def _estimate(value: Any, low: Any, high: Any) -> Estimate:
    return Estimate(value, low, high, 1500, 20, "DeLong")


def test_an_estimate_shows_interval_numbers_and_method() -> None:
    figure = formats.shown(_estimate(0.1234, 0.1, 0.15))
    assert str(figure) == "12.3% (10.0\u201315.0%)"
    assert figure.basis == "1,500 members, 20 non-members; DeLong"  # type: ignore[union-attr]
    assert str(formats.shown(_estimate(0.61234, 0.6, 0.62), "number")) == "0.612 (0.600\u20130.620)"


def test_the_ends_of_an_interval_have_the_digits_of_the_value() -> None:
    assert formats.shown(_estimate(0.0, 0.0, 0.0024)).interval == "0.00\u20130.24%"  # type: ignore[union-attr]
    assert formats.shown(_estimate(0.0042, 0.0, 0.0712)).interval == "0.00\u20137.12%"  # type: ignore[union-attr]
    assert formats.shown(_estimate(0.01, -0.02, 0.04)).interval == "-2.0 to 4.0%"  # type: ignore[union-attr]


@pytest.mark.parametrize(("low", "high"), [(None, None), (0.1, None), (None, 0.3), (0.1, float("nan"))])
def test_half_an_interval_is_none(low: float | None, high: Any) -> None:
    assert str(formats.shown(_estimate(0.2, low, high))) == "20.0% (no interval)"


@pytest.mark.parametrize("estimate", [None, _estimate(None, 0.1, 0.2), _estimate(float("inf"), 0.1, 0.2)])
def test_no_figure_is_none(estimate: Any) -> None:
    assert formats.shown(estimate) is None
    assert formats.spoken(estimate) == "not available"


def test_small_words() -> None:
    assert formats.count(12345) == "12,345"
    assert formats.count(None) == formats.plain(None) == formats.seconds(None) == formats.points(None, 0.5) == "\u2013"
    assert formats.seconds(0.04) == "<0.1"
    assert formats.seconds(1234.56) == "1,234.6"
    assert formats.points(0.98, 0.9) == "8.0"
    assert formats.points_of(-0.052, "+") == "-5.2 percentage points"
    assert formats.plain(1e-5) == "1e-5"
    assert formats.plain(13.28312) == "13.28"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/anna/data/patients.csv", "patients.csv"),
        ("/data/photos?size=64&colour=grey", "photos?size=64&colour=grey"),
        ("/home/anna/model.py:make_model", "model.py:make_model"),
        ("data/patients.csv", "data/patients.csv"),
        ("mnist", "mnist"),
    ],
)
def test_published_names_hold_no_folder_of_the_machine(name: str, shown: str) -> None:
    assert formats.without_folder(name) == shown


def test_figures_of_a_column_have_the_same_decimals() -> None:
    assert formats.in_one_form([0.7506, 0.744, 0.0001]) == ["0.7506", "0.7440", "0.0001"]
    assert formats.in_one_form([-12.5, 3, None, math.inf]) == ["-12.50", "3.00", "\N{EN DASH}", "\N{EN DASH}"]
    assert formats.in_one_form([123456.7, 1.5]) == ["123457", "2"]
    assert formats.in_one_form([1e-9, 0.0]) == ["1e-9", "0"]
    assert formats.in_one_form([]) == []
