from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from memberwise.data import encode, from_object
from memberwise.data.chosen import choose_columns
from memberwise.data.treatment import OneHot
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
    changed.loc[50, ["age", "city"]] = [1000, "Oslo"]  # type: ignore[assignment, index]
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
def test_missing_or_infinite_numbers_are_refused_by_place(value: float) -> None:
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


def test_what_was_done_is_told() -> None:
    frame = table(80).assign(note=["a", "b", None, "d"] * 20, id=np.arange(80))  # type: ignore[list-item]
    frame.loc[79, "city"] = "Oslo"
    dataset = choose_columns(from_object(frame, source="s"), drop=["id"])
    done = encode(dataset, np.arange(70)).what_was_done()
    assert (done.kind, done.records, done.fitted_on) == ("table", 80, 70)
    assert done.features == 2 + 1 + 3 + 3 + 4
    assert done.standardised == ("age", "weight")
    assert done.flags == ("smoker",)
    assert done.one_hot == (OneHot("city", 3, 0, 1), OneHot("code", 3, 0, 0), OneHot("note", 4, 20, 0))
    assert done.to_dict()["dropped"] == [{"column": "id", "reason": "data.drop"}]
    images = from_object((np.full((4, 9, 9, 3), 7, np.uint8), [0, 1, 0, 1]), source="s").what_was_done()
    assert (images.kind, images.features, len(images.steps)) == ("images", 243, 2)


@pytest.mark.parametrize("value", [1e300, -1e39, Decimal("1e60")])
def test_numbers_beyond_float32_are_refused_with_column_and_row(value: object) -> None:
    frame = table()
    frame["weight"] = frame["weight"].astype(object)
    frame.loc[[7, 9], "weight"] = value  # type: ignore[call-overload]
    for column in (frame["weight"], frame["weight"].astype(float)):
        with pytest.raises(DataError, match=r"(?s)too large.*2 values, the first -?1e.*s, row 7, column weight"):
            encode(from_object(frame.assign(weight=column), source="s"), np.arange(60))


def test_python_numbers_are_numbers() -> None:
    frame = table().assign(paid=[Decimal(i) / 4 for i in range(60)])  # type: ignore[misc]
    dataset = encode(from_object(frame, source="s"), np.arange(60))
    plain = encode(from_object(frame.assign(paid=np.arange(60) / 4), source="s"), np.arange(60))
    assert dataset.feature_names == plain.feature_names
    np.testing.assert_allclose(dataset.x, plain.x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [f"P{i}" for i in range(60)],
            "another value in nearly every record.*60 different.*'P0'.*column more.*--drop more",
        ),
        ([[1, 2]] * 60, "neither number nor text.*list.*column more"),
        (np.arange(60) * 1j, "neither number nor text.*complex"),
    ],
)
def test_columns_that_are_no_features_are_refused(values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        encode(from_object(table().assign(more=values), source="s"), np.arange(60))  # type: ignore[arg-type]
    assert encode(choose_columns(from_object(table().assign(more=values), source="s"), drop=["more"]), np.arange(60))  # type: ignore[arg-type]


def test_sparse_records_are_the_dense_ones() -> None:
    dense = np.random.default_rng(0).integers(0, 3, (20, 7)).astype(float)
    labels = np.arange(20) % 2
    for matrix in (sparse.csr_matrix(dense), sparse.coo_array(dense), sparse.csc_array(dense)):
        dataset = from_object((matrix, labels), source="s")
        assert (dataset.x == dense).all()
        assert dataset.what_was_done().steps == ("a sparse matrix was made dense",)
    parts = {"x_train": sparse.csr_array(dense[:15]), "x_test": sparse.csr_array(dense[15:])}
    dataset = from_object(parts | {"y_train": labels[:15], "y_test": labels[15:]}, source="s")
    assert dataset.test is not None
    assert dataset.test.tolist() == [15, 16, 17, 18, 19]
    frame = pd.DataFrame(dense).assign(label=labels)
    thin = frame.astype({i: pd.SparseDtype(float, 0.0) for i in range(7)})
    one, other = (encode(from_object(f, source="s"), np.arange(20)) for f in (frame, thin))
    assert (one.x == other.x).all()


def test_sparse_records_that_would_be_too_large_are_refused() -> None:
    huge = sparse.csr_matrix((20_000, 200_000), dtype=np.float32)  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"(?s)too large once they are dense.*2.1 GB.*16.0 GB: 20,000 x 200,000.*TruncatedSVD"
    ):
        from_object((huge, np.arange(20_000) % 2), source="s")
    with pytest.raises(DataError, match=r"(?s)sparse matrix without labels.*\(x, y\)"):
        from_object(huge, source="s")
    with pytest.raises(DataError, match=r"(?s)no array 'x'.*sparse matrix as scipy saves it"):
        from_object({"indices": [0], "indptr": [0], "format": "csr", "shape": [1, 1], "data": [0]}, source="s")
