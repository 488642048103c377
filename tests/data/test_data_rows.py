"""A table's rows written as numbers, and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.data.rows import TableRows

MIXED = pd.Series([None, np.nan, "a", 1, True, 1.5, [1], [1]], dtype=object)
EVERY = pd.DataFrame(
    {
        "integer": np.arange(8),
        "small": np.arange(8, dtype=np.int8),
        "large": np.arange(8) + 2**60,
        "float": [0.1, np.nan, 1e300, -0.0, 1, 2, 3, 4],
        "single": np.linspace(0, 1, 8, dtype=np.float32),
        "truth": [True, False] * 4,
        "text": ["x", None, "y", "x", "", " ", "z", "x"],
        "mixed": MIXED,
        "category": pd.Categorical(["u", "v", None, "u"] * 2, categories=["w", "v", "u"], ordered=True),
        "grade": pd.Categorical([1, 2, 1, 3] * 2),
        "nullable": pd.array([1, None, 3, 4] * 2, dtype="Int64"),
        "flag": pd.array([True, None, False, True] * 2, dtype="boolean"),
        "string": pd.array(["p", None, "q", "p"] * 2, dtype="string"),
        "day": pd.to_datetime(["2020-01-01", None, "2021-05-05", "2020-01-01"] * 2),  # type: ignore[arg-type]
        "span": pd.to_timedelta(np.arange(8), unit="s"),
    }
)


def test_a_frame_of_every_type_comes_back_as_it_was() -> None:
    table = TableRows.of(EVERY)
    x = table.numbers(EVERY)
    assert x.dtype == np.float64
    pd.testing.assert_frame_equal(table.frame(x), EVERY)
    some = [5, 0, 0, 2]
    pd.testing.assert_frame_equal(table.frame(x[some]), EVERY.iloc[some].reset_index(drop=True))
    back = table.frame(x)["mixed"].tolist()
    assert back[0] is None
    assert [type(value) for value in back] == [type(value) for value in MIXED]


def test_equal_rows_have_equal_numbers() -> None:
    x = TableRows.of(EVERY).numbers(EVERY)
    assert x[0, list(EVERY).index("text")] == x[3, list(EVERY).index("text")]
    assert x[6, list(EVERY).index("mixed")] == x[7, list(EVERY).index("mixed")]


def test_numbers_in_between_are_the_nearest_value() -> None:
    frame = pd.DataFrame({"a": [1, 5], "b": ["x", "y"], "c": [0.5, 1.5]})
    made = TableRows.of(frame).frame(np.array([[2.4, 0.6, 0.7], [4.6, 9.0, -3.0]]))
    assert made.to_dict("list") == {"a": [2, 5], "b": ["y", "y"], "c": [0.7, -3.0]}


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_any_columns_come_back(data: Any) -> None:
    n = data.draw(st.integers(1, 6))
    kinds = (st.integers(-(2**62), 2**62), st.floats(allow_nan=True), st.text(), st.none() | st.text(), st.booleans())
    columns = [data.draw(st.lists(data.draw(st.sampled_from(kinds)), min_size=n, max_size=n)) for _ in range(3)]
    frame = pd.DataFrame({f"c{i}": column for i, column in enumerate(columns)})
    table = TableRows.of(frame)
    pd.testing.assert_frame_equal(table.frame(table.numbers(frame)), frame)
