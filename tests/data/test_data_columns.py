"""A table's encoding as plain values: the same as scikit-learn's, through JSON and back, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from memberwise.data import encode, from_object
from memberwise.data.columns import Encoding
from memberwise.data.preprocessing import Preprocessing
from memberwise.errors import DataError, RunFolderError


def table(seed: int, records: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Wien", "Röm", None], records),  # type: ignore[arg-type]
            "age": rng.integers(18, 90, records),
            "flag": rng.random(records) < 0.5,
            "dose": rng.lognormal(3, 2, records),
            "same": np.full(records, 7.0),
            "code": pd.Categorical(rng.integers(0, 3, records)),
            "7": rng.choice(["1", "2.0", "x"], records),
            "label": rng.integers(0, 2, records),
        }
    )


def encoded(frame: pd.DataFrame, rows: int = 20) -> Any:
    return encode(from_object(frame, source="s"), np.arange(rows))


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_it_is_scikit_learns(seed: int) -> None:
    frame = table(seed)
    numbers, flags, categories = ["age", "dose", "same"], ["flag"], ["city", "code", "7"]
    texts = frame.assign(**{name: frame[name].astype(object).map(str, na_action="ignore") for name in categories})
    texts = texts.where(texts.notna(), np.nan)
    steps = [
        ("numbers", StandardScaler(), numbers),
        ("flags", "passthrough", flags),
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    ]
    expected = ColumnTransformer(steps, sparse_threshold=0).fit(texts.iloc[:20]).transform(texts)
    np.testing.assert_array_equal(encoded(frame).x, np.asarray(expected, np.float32))


def test_encoding_through_json_is_the_same_in_any_order() -> None:
    frame = table(0)
    dataset = encoded(frame)
    again = Preprocessing.of_dict(json.loads(json.dumps(Preprocessing.of(dataset).to_dict())), "here")
    assert again == Preprocessing.of(dataset)
    mixed = frame.sample(frac=1, axis=1, random_state=1).assign(more=1.5)
    np.testing.assert_array_equal(again.records(mixed), dataset.x)
    np.testing.assert_array_equal(again.records(frame[::-1].set_index("age", drop=False)), dataset.x[::-1])
    np.testing.assert_array_equal(again.records(dataset.x, encoded=True), dataset.x)
    assert again.left_out == ("label",)


def test_features_become_the_table_again() -> None:
    frame = table(1)
    dataset = encoded(frame, 40)
    back = dataset.encoding.decode(dataset.x)
    assert list(back) == list(frame.drop(columns="label"))
    np.testing.assert_array_equal(back["age"], frame["age"])
    np.testing.assert_array_equal(back["flag"], frame["flag"])
    np.testing.assert_allclose(back["dose"], frame["dose"], rtol=1e-4, atol=1e-3)
    for name in ("city", "code", "7"):
        expected = [None if missing else str(v) for v, missing in zip(frame[name], frame[name].isna(), strict=True)]
        assert back[name].tolist() == expected


def test_levels_that_were_not_seen_are_none_of_those_that_were() -> None:
    encoding: Encoding = encoded(table(0)).encoding
    strange = table(2).assign(city="Oslo")
    names = [name for name in encoding.features if name.startswith("city=")]
    where = [encoding.features.index(name) for name in names]
    assert (encoding.encode(strange, "s")[:, where] == 0).all()
    assert names[-1] == "city=nan"


def test_integers_made_floats_by_a_gap_keep_their_levels() -> None:
    frame = table(0)
    encoding: Encoding = encoded(frame).encoding
    floats = frame.assign(code=frame["code"].astype(float))
    np.testing.assert_array_equal(encoding.encode(floats, "s"), encoding.encode(frame, "s"))


WRONG = {
    "a column is gone": (lambda f: f.drop(columns="dose"), r"a column is missing(.|\n)*no dose"),
    "by a near name": (lambda f: f.rename(columns={"dose": "doses"}), r"did you mean doses\?"),
    "texts for numbers": (lambda f: f.assign(age="old"), r"numbers has texts among them(.|\n)*'old'(.|\n)*column age"),
    "gaps": (lambda f: f.assign(dose=np.nan), r"missing or infinite(.|\n)*column dose, row 0"),
    "infinity": (lambda f: f.assign(dose=np.inf), r"missing or infinite"),
    "no flag": (lambda f: f.assign(flag=2), r"true and false holds other values"),
    "twice": (lambda f: pd.concat([f, f[["age"]]], axis=1), r"two columns have the same name(.|\n)*age"),
}


@pytest.mark.parametrize(("change", "match"), WRONG.values(), ids=WRONG.keys())
def test_records_that_are_not_what_the_data_were(change: Any, match: str) -> None:
    preprocessing = Preprocessing.of(encoded(table(0)))
    with pytest.raises(DataError, match=match):
        preprocessing.records(change(table(0)))


IMAGES = np.random.default_rng(0).integers(0, 256, (9, 3, 10, 8), dtype=np.uint8)


def test_images_are_scaled_as_the_data_were() -> None:
    shades = Preprocessing.of(from_object((IMAGES, np.arange(9) % 2), source="s"))
    expected = IMAGES.astype(np.float32) / np.float32(255)
    for given_ in (IMAGES, IMAGES.astype(int), np.moveaxis(IMAGES, 1, -1)):
        np.testing.assert_array_equal(shades.records(given_), expected)
    np.testing.assert_array_equal(shades.records(expected, encoded=True), expected)
    floats = Preprocessing.of(from_object((expected, np.arange(9) % 2), source="s"))
    np.testing.assert_array_equal(floats.records(expected), expected)
    for preprocessing, wrong in (
        (shades, expected),
        (shades, IMAGES.astype(int) + 1),
        (shades, -IMAGES.astype(int)),
        (floats, IMAGES),
        (shades, IMAGES[0]),
        (floats, expected[:, :2]),
        (floats, expected * np.nan),
        (floats, expected.astype(str)),
        (floats, pd.DataFrame({"a": [1]})),
    ):
        with pytest.raises(DataError):
            preprocessing.records(wrong)


def test_an_array_for_a_table_is_not_guessed_at() -> None:
    with pytest.raises(DataError, match=r"which column is which(.|\n)*city, age"):
        Preprocessing.of(encoded(table(0))).records(table(0).to_numpy())


@pytest.mark.parametrize("change", [{"format": 2}, {"columns": [{"nom": 1}]}, {"shape": None}, {"columns": None}])
def test_harmed_facts_are_told(change: dict[str, Any]) -> None:
    facts = Preprocessing.of(encoded(table(0))).to_dict() | change
    with pytest.raises(RunFolderError, match=r"cannot be read(.|\n)*where: here"):
        Preprocessing.of_dict(facts, "here")
