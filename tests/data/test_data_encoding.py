from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from memberwise.data import encode, from_object
from memberwise.errors import DataError


def table(records: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, records),
            "weight": rng.normal(70, 10, records),
            "city": rng.choice(["Bern", "Wien", "Rom"], records),
            "smoker": rng.random(records) < 0.3,
            "code": pd.Categorical(rng.integers(0, 3, records)),
            "label": rng.integers(0, 2, records),
        }
    )


def test_encoding_is_what_pandas_gives_by_hand() -> None:
    frame = table()
    fit = np.arange(0, 60, 3)
    dataset = encode(from_object(frame, source="s"), fit)
    names = dataset.feature_names
    assert names is not None
    expected = {}
    for name in ("age", "weight"):
        expected[name] = (frame[name] - frame[name].iloc[fit].mean()) / frame[name].iloc[fit].std(ddof=0)
    expected["smoker"] = frame["smoker"]
    for name in ("city", "code"):
        for value in sorted(map(str, frame[name].iloc[fit].unique())):
            expected[f"{name}={value}"] = frame[name].astype(str) == value
    assert list(names) == list(expected)
    assert dataset.x.dtype == np.float32
    np.testing.assert_allclose(dataset.x, pd.DataFrame(expected).astype(float), rtol=1e-6, atol=1e-6)


def test_only_the_given_rows_decide() -> None:
    frame = table()
    changed = frame.copy()
    changed.loc[50, ["age", "city"]] = [1000, "Oslo"]
    fit = np.arange(40)
    one, other = (encode(from_object(f, source="s"), fit) for f in (frame, changed))
    assert one.feature_names == other.feature_names
    assert (np.delete(one.x, 50, axis=0) == np.delete(other.x, 50, axis=0)).all()
    cities = [k for k, name in enumerate(other.feature_names or ()) if name.startswith("city=")]
    assert other.x[50, cities].tolist() == [0, 0, 0]


def test_missing_is_a_category_of_its_own() -> None:
    frame = pd.DataFrame({"city": ["a", None, "b", "a"], "label": [0, 1, 0, 1]})
    dataset = encode(from_object(frame, source="s"), np.arange(4))
    assert dataset.feature_names == ("city=a", "city=b", "city=nan")
    assert dataset.x.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_mixed_and_flag_columns() -> None:
    frame = pd.DataFrame({"m": [1, "a", 1, "a"], "f": [True, None, False, True], "c": [5] * 4, "label": [0, 1, 0, 1]})
    dataset = encode(from_object(frame, source="s"), np.arange(4))
    assert dataset.feature_names == ("c", "m=1", "m=a", "f=False", "f=True", "f=nan")
    assert dataset.x[1].tolist() == [0, 0, 1, 0, 0, 1]


def test_arrays_are_left_alone() -> None:
    dataset = from_object((np.ones((4, 2)), [0, 1, 0, 1]), source="s")
    assert encode(dataset, np.arange(4)) is dataset


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_missing_or_infinite_are_refused_with_their_place(value: float) -> None:
    frame = table()
    frame.loc[7, "weight"] = value
    with pytest.raises(DataError, match=f"(?s)1 of them, the first {value}.*s, column weight, row 7"):
        encode(from_object(frame, source="s"), np.arange(60))


def test_nullable_integers_that_are_missing_are_refused() -> None:
    frame = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "label": [0, 1]})
    with pytest.raises(DataError, match="column n, row 1"):
        encode(from_object(frame, source="s"), np.arange(2))


def test_dates_and_free_text_are_refused() -> None:
    frame = table(2000).assign(day=pd.Timestamp("2020-01-01"))
    with pytest.raises(DataError, match=r"(?s)holds dates.*column day"):
        encode(from_object(frame, source="s"), np.arange(5))
    frame = table(2000).assign(name=[f"p{i}" for i in range(2000)])
    with pytest.raises(DataError, match=r"(?s)at most 1,000.*2,000, such as 'p0'.*column name.*--unit"):
        encode(from_object(frame, source="s"), np.arange(5))
