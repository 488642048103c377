from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.data import from_object, load
from memberwise.data.chosen import choose_columns, membership_notes, row_numbers
from memberwise.errors import DataError, StudyError

N = 120
RNG = np.random.default_rng(0)


def table(**more: object) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"age": rng.integers(20, 60, N), "dose": rng.normal(size=N), "sex": rng.choice(["f", "m"], N)})
    return frame.assign(label=rng.integers(0, 2, N), **more)  # type: ignore[arg-type]


def codes(frame: pd.DataFrame, **chosen: list[str]) -> list[str]:
    return [code for code, _ in choose_columns(from_object(frame, source="s"), **chosen).notes]


def kept(frame: pd.DataFrame, **chosen: list[str]) -> list[str]:
    dataset = choose_columns(from_object(frame, source="s"), **chosen)
    assert dataset.frame is not None
    return list(dataset.frame)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", np.arange(N)),
        ("Unnamed: 0", np.arange(N) + 1),
        ("Unnamed: 3", RNG.permutation(N).astype(float)),
        ("...1", np.arange(N) + 1),
        ("__index_level_0__", RNG.choice(10_000, N, replace=False)),
        ("Unnamed: 0", np.concatenate([np.arange(80), np.arange(40)])),
        ("Unnamed: 0", [f"row {i}" for i in range(N)]),
        ("Unnamed: 9", [np.nan] * N),
        ("index", np.arange(N)),
        ("row_number", np.arange(N)[::-1] + 1),
        ("X", np.arange(N) + 1),
    ],
)
def test_row_numbers_are_left_out_and_told(name: str, values: object) -> None:
    frame = table(**{name: values})
    assert kept(frame) == ["age", "dose", "sex"]
    assert codes(frame) == ["row-number"]
    assert name in kept(frame, features=["age", name])
    assert codes(frame, drop=[name]) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Unnamed: 0", RNG.integers(0, 7, N)),
        ("Unnamed: 0", RNG.normal(size=N)),
        ("index", np.arange(N) * 2),
        ("x", RNG.normal(size=N)),
        ("row", np.arange(N) % 10),
    ],
)
def test_what_may_be_a_feature_stays(name: str, values: object) -> None:
    assert name in kept(table(**{name: values}))


def test_a_file_with_row_numbers_is_the_file_without(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "with.csv")
    table().to_csv(tmp_path / "without.csv", index=False)
    one, other = (choose_columns(load(str(tmp_path / name))) for name in ("with.csv", "without.csv"))
    assert one.sha256 == other.sha256
    assert one.dropped[0][0] == "Unnamed: 0"


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("patient", np.arange(N) + 1, "numbers the records"),
        ("patient", RNG.choice(10**6, N, replace=False), "tells records apart"),
        ("patient", RNG.choice(10**6, N, replace=False).astype(float), "tells records apart"),
        ("who", [str(uuid.UUID(int=i)) for i in range(N)], "tells records apart"),
        ("patient_id", RNG.permutation(np.arange(N) // 2), "tells records apart"),
        ("patientId", [f"P{i // 2}" for i in range(N)], "tells records apart"),
    ],
)
def test_identifiers_stay_but_are_warned_about(name: str, values: object, said: str) -> None:
    dataset = choose_columns(from_object(table(**{name: values}), source="s"))
    ((code, message),) = dataset.notes
    assert code == "id-column"
    assert said in message
    assert f"--drop {name}" in message
    assert dataset.frame is not None
    assert name in dataset.frame


@pytest.mark.parametrize("values", [RNG.normal(size=N), RNG.integers(0, 100, N), RNG.random(N) < 0.5])
def test_ordinary_columns_are_not_warned_about(values: object) -> None:
    assert codes(table(more=values)) == []


def test_constant_columns_and_columns_that_tell_the_class() -> None:
    frame = table()
    frame = frame.assign(site="A", coded=frame.label.map({0: "no", 1: "yes"}), graded=frame.label * 2.0 + 1)
    assert sorted(codes(frame)) == ["constant-column", "label-column", "label-column"]
    noisy = frame.coded.where(np.arange(N) != 3, "no" if frame.label[3] else "yes")
    assert codes(table(coded=noisy)) == []


def test_columns_that_tell_membership() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    members, nonmembers = np.arange(30), np.arange(30, 60)
    assert membership_notes(x, None, members, nonmembers) == []
    x[:, 1] = np.arange(60)
    ((code, message),) = membership_notes(x, ["a", "day", "c"], members, nonmembers)
    assert code == "membership-column"
    assert ": day." in message
    assert membership_notes(x, None, members[:5], nonmembers) == []
    assert membership_notes(x[::-1], None, members, nonmembers) != []


def test_chosen_columns_are_features_in_the_named_order() -> None:
    assert kept(table(), features=["sex", "age"]) == ["sex", "age"]
    assert kept(table(), drop=["sex"]) == ["age", "dose"]
    assert kept(table(), features=["sex", "age"], drop=["age"]) == ["sex"]
    dataset = choose_columns(from_object(table(), source="s"), features=["age"], drop=["dose"])
    assert dict(dataset.dropped) == {"dose": "data.drop", "sex": "not among data.features"}


def test_columns_that_cannot_be_chosen() -> None:
    dataset = from_object(table(), source="s")
    with pytest.raises(DataError, match=r"(?s)no feature column 'agee'.*age, dose, sex.*data.drop.*did you mean age"):
        choose_columns(dataset, drop=["agee"])
    with pytest.raises(DataError, match=r"no feature columns are left"):
        choose_columns(dataset, drop=["age", "dose", "sex"])
    assert kept(table(), drop=["label"]) == ["age", "dose", "sex"]
    with pytest.raises(StudyError, match=r"(?s)no columns to choose from.*data.drop"):
        choose_columns(from_object((np.zeros((4, 2)), [0, 1, 0, 1]), source="s"), drop=["a"])


def test_names_of_two_levels_are_joined() -> None:
    frame = table()
    frame.columns = pd.MultiIndex.from_tuples([("who", "age"), ("lab", "dose"), ("who", "sex"), ("label", "")])
    assert kept(frame) == ["who.age", "lab.dose", "who.sex"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.sampled_from([0, 1]))
def test_counting_is_told_from_other_whole_numbers(lengths: list[int], first: int) -> None:
    """Tables one under another: the slow way says it with the parts that made it."""
    parts = [np.arange(first, first + length) for length in lengths if length]
    values = np.concatenate([np.arange(first, first + 7), *parts])
    frame = pd.DataFrame({"": values, "a": 1})
    longer = int((np.diff(values) == 1).sum()) > (len(values) - 1) / 2
    assert ("" in row_numbers(frame)) == (longer or len(set(values)) == len(values))
