"""Saved answers as R and others write them: columns named by class, members and non-members in two files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import memberwise as mw
from memberwise.errors import DataError
from memberwise.signals.saved.files import read_saved_file, saved_object

RNG = np.random.default_rng(0)
P = RNG.dirichlet([1, 1], 40)
LABEL = np.where(RNG.random(40) < 0.5, "ill", "well")


def table(rows: Any, **columns: Any) -> Any:
    return pd.DataFrame({"label": LABEL[rows], **columns})


def test_columns_named_by_class_are_the_answers() -> None:
    rows = slice(None)
    plain = saved_object(table(rows, well=P[:, 1], ill=P[:, 0], member=np.arange(40) % 2), "outputs")
    stem = saved_object(table(rows, p_well=P[:, 1], p_ill=P[:, 0], member=np.arange(40) % 2), "outputs")
    for arrays in (plain, stem):
        order = [list(arrays["classes"]).index(name) for name in ("ill", "well")]
        np.testing.assert_array_equal(arrays["probabilities"][:, order], P)
        assert arrays["labels"].tolist() == LABEL.tolist()


def test_numbered_columns_named_by_label_are_the_answers() -> None:
    frame = pd.DataFrame({"label": [1, 2, 1], "member": [1, 0, 1], "1": [0.2, 0.5, 1.0], "2": [0.8, 0.5, 0.0]})
    arrays = saved_object(frame, "outputs")
    assert arrays["classes"].tolist() == ["1", "2"]
    assert arrays["labels"].tolist() == ["1", "2", "1"]


def test_two_files_are_members_and_non_members(tmp_path: Path) -> None:
    sides = {"train": slice(0, 24), "test": slice(24, 40)}
    for name, rows in sides.items():
        table(rows, ill=P[rows, 0], well=P[rows, 1]).to_csv(tmp_path / f"{name}.csv", sep=";", decimal=",", index=False)
    arrays = read_saved_file(f"{tmp_path}/train.csv,{tmp_path}/test.csv")
    assert arrays["member"].tolist() == [1] * 24 + [0] * 16
    np.testing.assert_allclose(arrays["probabilities"], P)
    assert {"separator", "decimal-comma"} & {note.code for note in arrays.notes}


def test_two_sides_in_python_give_the_figures_of_one_file() -> None:
    member = np.r_[np.ones(24), np.zeros(16)]
    whole = mw.audit(outputs=table(slice(None), ill=P[:, 0], well=P[:, 1], member=member), attacks=["loss"])
    sides = [table(rows, ill=P[rows, 0], well=P[rows, 1]) for rows in (slice(0, 24), slice(24, 40))]
    assert mw.audit(outputs=sides, attacks=["loss"]).auc("loss").value == whole.auc("loss").value


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"logits": P[24:], "labels": LABEL[24:], "member": np.zeros(16)}, "neither says so itself"),
        ({"logits": P[24:, :1], "labels": LABEL[24:]}, "differ in shape"),
        ({"probabilities": P[24:], "labels": LABEL[24:]}, "do not hold the same"),
        ([1, 2], "no saved answers"),
    ],
)
def test_sides_that_do_not_fit_are_refused(second: Any, message: Any) -> None:
    with pytest.raises(DataError, match=message):
        saved_object(({"logits": P[:24], "labels": LABEL[:24]}, second), "outputs")
