"""Saved answers as people write them, and logits that rule classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import DataError
from memberwise.signals.read import log_vectors, probability_vectors, read_answers
from memberwise.signals.saved.answers import read_shadows, read_target
from memberwise.signals.saved.files import read_saved_file, saved_object
from memberwise.signals.saved.table import signals_from_saved
from memberwise.signals.table import Signals

N, C = 60, 3
RNG = np.random.default_rng(0)
Y = np.arange(N) % C
Z = RNG.normal(size=(N, C)) + 2 * np.eye(C)[Y]
MEMBER = np.arange(N) < 30


def frame(**more: Any) -> pd.DataFrame:
    values = {f"logit_{k}": Z[:, k] for k in range(C)}
    return pd.DataFrame({"label": Y, "member": MEMBER.astype(int), **values, **more})


def signals(arrays: dict[str, Any]) -> Signals:
    return signals_from_saved(read_target(arrays, "f"), None)


EXPECTED = signals({"logits": Z, "labels": Y, "member": MEMBER})


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f,
        lambda f: f.rename(columns={"label": "labels", "member": "Member"}),
        lambda f: f.rename(columns={"label": " Label "}),
        lambda f: f.assign(index=np.arange(N, dtype=float)),
        lambda f: f.assign(index=np.arange(N).astype(str)),
        lambda f: f.rename_axis("index"),
        lambda f: f.set_axis(pd.MultiIndex.from_product([["answers"], f.columns]).droplevel(0), axis=1),
        lambda f: f.assign(label=f.label.astype("Int64"), member=f.member.astype(bool)),
        lambda f: f.astype({"logit_0": pd.SparseDtype(float)}),
    ],
)
def test_a_data_frame_is_read_as_the_table_it_is(change: Any) -> None:
    read = signals(saved_object(change(frame()), "outputs"))
    assert (read.target.log_p == EXPECTED.target.log_p).all()
    assert (read.labels == Y).all()


@pytest.mark.slow
def test_the_audit_takes_a_data_frame() -> None:
    by_frame = mw.audit(outputs=frame(), attacks=["loss"])
    by_arrays = mw.audit(outputs={"logits": Z, "Labels": Y, "members": MEMBER}, attacks=["loss"])
    assert by_frame.auc("loss") == by_arrays.auc("loss")


def test_the_column_of_true_classes_may_have_any_name(tmp_path: Path) -> None:
    named = frame(truth=0).rename(columns={"label": "Diagnose"})
    named.to_csv(tmp_path / "a.csv", index=False, sep=";")
    for part in (0, 1):
        named[named.member == part].drop(columns="member").to_csv(tmp_path / f"{part}.tsv", index=False, sep="\t")
    arrays = {"logits": Z, "Diagnose": Y, "truth": 0 * Y, "member": MEMBER}
    for read in (
        read_saved_file(tmp_path / "a.csv", label="Diagnose"),
        saved_object(named, "outputs", "Diagnose"),
        saved_object(arrays, "outputs", "Diagnose"),
        read_saved_file(f"{tmp_path / '1.tsv'},{tmp_path / '0.tsv'}", label="Diagnose"),
    ):
        np.testing.assert_allclose(signals(read).target.log_p, EXPECTED.target.log_p, rtol=1e-6)
    with pytest.raises(DataError, match=r"(?s)no column diagnose.*did you mean Diagnose\?"):
        read_saved_file(tmp_path / "a.csv", label="diagnose")
    said = CliRunner().invoke(app, ["audit", "--outputs", str(tmp_path / "a.csv"), "--label", "nothing"])
    assert (said.exit_code, "no column nothing" in said.stderr) == (2, True)


@pytest.mark.parametrize("mark", ["None", "NA", "null"])
@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_class_called_like_a_gap_is_a_class(mark: str, column: str, tmp_path: Path) -> None:
    names = np.array(sorted([mark, "mild", "severe"]))
    frame(label=names[Y]).rename(columns={"label": column}).to_csv(tmp_path / "a.csv", index=False)
    arrays = read_saved_file(tmp_path / "a.csv")
    assert read_target(arrays, "a.csv").classes == tuple(names)
    assert [code for code, _ in arrays.notes] == ["class-called-missing"]
    np.testing.assert_allclose(signals(arrays).target.log_p, EXPECTED.target.log_p, rtol=1e-6)


def test_saved_answers_with_decimal_commas(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "a.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    np.testing.assert_allclose(
        signals(read_saved_file(tmp_path / "a.csv")).target.log_p, EXPECTED.target.log_p, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (frame().drop(columns="label"), "no column label.*a column label: the true class.*found: member, logit_0"),
        (
            frame().rename(columns={"member": "menber"}),
            "no column member.*mean menber. Rename that column to member",
        ),
        (
            frame(labels=Y).rename(columns={"label": "Label"}),
            "no column label.*mean Label. Rename that column to label",
        ),
        (frame(label=Y + 1), "labels are no column numbers.*0 to 2.*1 to 3.*subtract 1"),
        (frame(label=Y + 7), "labels are no column numbers.*number the columns 0 to 2"),
        (frame(label=np.array(["a", "b", "b"])[Y]), "which column is which class.*column numbers, 0 to 2"),
        (frame(label=Y).assign(logit_1="x"), "answers are not numbers"),
        (frame(index=np.arange(N) // 3), "occur more than once.*20 that do: 0, 1, 2"),
    ],
)
def test_slips_in_tables_are_named(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        signals(saved_object(table, "outputs"))


def test_what_is_no_saved_answers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)outputs are no saved answers.*dict\(logits=z.*DataFrame.*ndarray"):
        mw.audit(outputs=Z)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"(?s)do not fit into a table.*trained_on"):
        mw.audit(outputs=frame(), shadow_outputs=frame())  # type: ignore[arg-type]
    frame().to_csv(tmp_path / "s.csv")
    with pytest.raises(DataError, match=r"(?s)do not fit into a table.*s.csv"):
        mw.audit(outputs=frame(), shadow_outputs=tmp_path / "s.csv")
    with pytest.raises(DataError, match="no answers"):
        mw.audit(outputs={})


@pytest.mark.parametrize("mask", [-np.inf, -3.4e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ruled_out_class_counts_as_saved_probability_of_0(mask: float, dtype: type) -> None:
    masked = Z.astype(dtype)  # type: ignore[var-annotated]
    masked[np.arange(0, N, 4), (Y[::4] + 1) % C] = mask
    masked[[1, 31], Y[[1, 31]]] = mask
    by_logits = read_target({"logits": masked, "labels": Y, "member": MEMBER}, "f")
    p = softmax(np.where(masked < -1e30, -np.inf, masked).astype(float), axis=1)
    by_probabilities = read_target({"probabilities": p, "labels": Y, "member": MEMBER}, "f")
    assert [code for code, _ in by_logits.notes] == ["classes-ruled-out"]
    one, other = (signals_from_saved(saved, None).target for saved in (by_logits, by_probabilities))
    np.testing.assert_allclose(one.log_p, other.log_p, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.log_1mp, other.log_1mp, rtol=1e-4, atol=1e-5)
    assert (one.correct == other.correct).all()
    assert np.isfinite(log_vectors(one)).all()
    np.testing.assert_allclose(probability_vectors(one)[0], p, atol=1e-6)


def test_a_binary_model_may_be_sure() -> None:
    z = np.where(np.arange(N) % 5 == 0, -np.inf, RNG.normal(size=N))
    read = signals({"logits": z, "labels": np.arange(N) % 2, "member": MEMBER}).target
    assert np.isfinite(read.log_p).all()
    assert read.log_p[0, 0, 0] == pytest.approx(0)
    assert read.log_p[0, 5, 0] == pytest.approx(np.log(1e-30))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({(3, 1): np.inf}, r"NaN or infinite.*1 of them, the first \(inf\) of record 3, class 1"),
        ({(3, 1): np.nan, (4, 0): np.nan}, r"2 of them, the first \(nan\) of record 3, class 1"),
        ({(5, 0): -np.inf, (5, 1): -np.inf, (5, 2): -np.inf}, "rule out every class.*record 5"),
    ],
)
def test_logits_that_say_nothing_are_refused_with_their_place(values: dict[Any, float], message: str) -> None:
    z = Z.copy()
    for place, value in values.items():
        z[place] = value
    with pytest.raises(DataError, match=f"(?s){message}"):
        read_target({"logits": z, "labels": Y, "member": MEMBER}, "f")
    target = read_target({"logits": Z, "labels": Y, "member": MEMBER}, "f")
    trained_on = np.stack([MEMBER, ~MEMBER])
    with pytest.raises(DataError, match=f"(?s){message}"):
        read_shadows({"logits": np.stack([Z, z]), "trained_on": trained_on}, target, "g")


def test_logs_of_what_is_impossible() -> None:
    target = read_target({"logits": Z, "labels": Y, "member": MEMBER}, "f")
    log_p = np.full((2, N), -1.0)
    log_p[0, 3], log_p[1, 4] = -np.inf, -200.0
    shadow = {"log_p": log_p, "log_1mp": np.full((2, N), -0.5), "trained_on": np.stack([MEMBER, ~MEMBER])}
    read = read_shadows(shadow, target, "g").log_p
    assert read is not None
    assert (read[0, 3, 0], read[1, 4, 0]) == (-200, -200)


def test_live_logits_of_minus_infinity_give_finite_signals() -> None:
    raw = Z[None, :, None].astype(np.float32)
    raw[0, 7, 0, (Y[7] + 1) % C] = -np.inf
    answers = read_answers(raw, Y, "logits")
    assert np.isfinite(answers.log_p).all()
    assert np.isfinite(log_vectors(answers)).all()
    raw[0, 8] = -np.inf
    assert np.isnan(read_answers(raw, Y, "logits").log_p[0, 8]).all()


P = softmax(Z, axis=1)
NAMES = np.array(["ill", "so-so", "well"])


@pytest.mark.parametrize("truth", ["truth", "obs", "y_true", "Label"])
@pytest.mark.parametrize("column", ["Prob.{}", ".pred_{}", "{}_prob", "{} (p)"])
def test_columns_of_classes_may_have_any_affix(column: str, truth: str) -> None:
    table = pd.DataFrame({truth: NAMES[Y], **{column.format(name): P[:, k] for k, name in enumerate(NAMES)}})
    read = signals(saved_object(table.assign(member=MEMBER.astype(int), age=RNG.normal(size=N)), "outputs"))
    np.testing.assert_allclose(read.target.log_p, EXPECTED.target.log_p, rtol=1e-5)


def test_rounded_probabilities_by_class_are_scores_and_no_logits() -> None:
    rounded = np.floor(100 * P) / 100
    for column in ("{}", "Prob.{}"):
        table = pd.DataFrame(
            {"label": NAMES[Y], **{column.format(name): rounded[:, k] for k, name in enumerate(NAMES)}}
        )
        arrays = saved_object(table.assign(member=MEMBER.astype(int)), "outputs")
        np.testing.assert_array_equal(arrays["scores"], rounded)


def test_features_beside_labels_of_digits_are_no_answers() -> None:
    table = pd.DataFrame({"label": Y, "member": MEMBER.astype(int), **{f"gene_{k}": Z[:, k] for k in range(C)}})
    with pytest.raises(DataError, match="no answers"):
        saved_object(table, "outputs")
