"""Saved answers in every format become the same signals; what does not fit is refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from memberwise.errors import DataError
from memberwise.signals.from_saved import signals_from_saved
from memberwise.targets.saved import read_shadows, read_target
from memberwise.targets.saved_arrays import read_saved_file

RNG = np.random.default_rng(5)
N, C, M, K = 40, 3, 4, 15
Z = RNG.normal(size=(N, C)) * 3
Y = RNG.integers(0, C, N)
MEMBER = np.arange(N) % 2
SHADOW = RNG.normal(size=(M, N, C)) * 3
TRAINED = np.stack([MEMBER, 1 - MEMBER, np.arange(N) < 20, np.arange(N) >= 20]).astype(int)
FIRST: dict[str, Any] = {"logits": Z, "labels": Y, "member": MEMBER}
SECOND: dict[str, Any] = {"logits": SHADOW, "trained_on": TRAINED}


def expected_log_p(z: np.ndarray) -> np.ndarray:
    return np.asarray(log_softmax(z, -1)[..., np.arange(len(Y)), Y])


def test_logits_and_probabilities_say_the_same() -> None:
    logits = signals_from_saved(read_target(FIRST, "f"), None)
    probabilities = signals_from_saved(
        read_target({"probabilities": softmax(Z, -1), "labels": Y, "member": MEMBER}, "f"), None
    )
    for signals in (logits, probabilities):
        np.testing.assert_allclose(signals.target.log_p[0, :, 0], expected_log_p(Z), rtol=1e-5)
        phi = np.log(np.exp(expected_log_p(Z)) / (1 - np.exp(expected_log_p(Z))))
        np.testing.assert_allclose(signals.target.phi[0, :, 0], phi, rtol=1e-4, atol=1e-5)
        assert (signals.target.correct[0, :, 0] == (Z.argmax(1) == Y)).all()


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_files_hold_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"answers{suffix}"
    frame = pd.DataFrame({"label": Y, "member": MEMBER} | {f"logit_{i}": Z[:, i] for i in range(C)})
    if suffix == ".npz":
        np.savez(path, **FIRST)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    read = read_target(read_saved_file(path), str(path))
    np.testing.assert_allclose(np.asarray(read.raw)[0, :, 0], Z, rtol=1e-12)
    assert (np.asarray(read.labels) == Y).all()
    assert (np.asarray(read.member) == MEMBER).all()


def test_a_table_of_probabilities(tmp_path: Path) -> None:
    p = softmax(Z, -1)
    frame = pd.DataFrame({"label": Y, "member": MEMBER} | {f"p_{i}": p[:, i] for i in range(C)})
    frame.to_csv(tmp_path / "p.csv", index=False)
    read = read_target(read_saved_file(tmp_path / "p.csv"), "p.csv")
    assert read.kind == "probabilities"


def test_string_labels_are_sorted_and_mapped() -> None:
    names = np.array(["cat", "ant", "bee"])
    read = read_target({**FIRST, "labels": names[Y]}, "f")
    assert read.classes == ("ant", "bee", "cat")
    assert [read.classes[i] for i in np.asarray(read.labels)] == names[Y].tolist()
    declared = read_target({**FIRST, "labels": names[Y], "classes": names}, "f")
    assert (np.asarray(declared.labels) == Y).all()


def test_binary_models_with_one_column() -> None:
    z, y = RNG.normal(size=N), RNG.integers(0, 2, N)
    signals = signals_from_saved(read_target({"logits": z, "labels": y, "member": MEMBER}, "f"), None)
    np.testing.assert_allclose(signals.target.phi[0, :, 0], np.where(y == 1, z, -z), rtol=1e-5, atol=1e-6)
    p = 1 / (1 + np.exp(-z))
    same = signals_from_saved(read_target({"probabilities": p[:, None], "labels": y, "member": MEMBER}, "f"), None)
    np.testing.assert_allclose(same.target.phi, signals.target.phi, rtol=1e-4, atol=1e-5)


def test_labels_only() -> None:
    answers = np.array(["a", "b", "c"])[Z.argmax(1)]
    read = read_target({"answers": answers, "labels": np.array(["a", "b", "c"])[Y], "member": MEMBER}, "f")
    signals = signals_from_saved(read, None)
    assert (signals.target.correct[0, :, 0] == (Z.argmax(1) == Y)).all()
    assert np.isnan(signals.target.log_p).all()


def test_scores_need_not_sum_to_one() -> None:
    rounded = np.round(softmax(Z, -1), 1)
    signals = signals_from_saved(read_target({"scores": rounded, "labels": Y, "member": MEMBER}, "f"), None)
    own = np.maximum(rounded[np.arange(N), Y], 1e-12)
    np.testing.assert_allclose(signals.target.log_p[0, :, 0], np.log(own), rtol=1e-5)
    assert signals.target.saturated > 0


def test_shadow_files_align_by_index() -> None:
    order = RNG.permutation(N)
    index = 1000 + np.arange(N)
    target = read_target({**FIRST, "index": index}, "f")
    shuffled = {"logits": SHADOW[:, order], "trained_on": TRAINED[:, order], "index": index[order]}
    signals = signals_from_saved(target, read_shadows(shuffled, target, "s"))
    direct = signals_from_saved(target, read_shadows(SECOND, target, "s"))
    assert signals.shadows is not None
    assert direct.shadows is not None
    np.testing.assert_array_equal(signals.shadows.log_p, direct.shadows.log_p)
    np.testing.assert_array_equal(signals.trained_on, TRAINED)


def test_logs_in_place_of_shadow_answers_and_populations() -> None:
    population = RNG.normal(size=(K, C))
    first = {**FIRST, "population_logits": population, "population_labels": RNG.integers(0, C, K)}
    target = read_target(first, "f")
    log_p = expected_log_p(SHADOW)
    logs = {"log_p": log_p, "log_1mp": np.log1p(-np.exp(log_p)), "trained_on": TRAINED}
    pop_shadow = RNG.normal(size=(M, K, C))
    signals = signals_from_saved(target, read_shadows({**logs, "population_logits": pop_shadow}, target, "s"))
    direct = signals_from_saved(target, read_shadows({**SECOND, "population_logits": pop_shadow}, target, "s"))
    assert signals.shadows is not None
    assert direct.shadows is not None
    np.testing.assert_allclose(signals.shadows.phi, direct.shadows.phi, rtol=1e-4, atol=1e-4)
    assert signals.population_shadows is not None
    assert signals.population_shadows.records == K


BAD_FIRST: list[tuple[dict[str, Any], str]] = [
    ({"logits": None}, "no answers"),
    ({"probabilities": Z}, "several kinds"),
    ({"labels": Y[:-1]}, "labels and answers differ in length"),
    ({"labels": Y + C}, "labels are no column numbers"),
    ({"labels": np.array(["x"] * N)}, "do not tell which column"),
    ({"member": np.ones(N)}, "only members"),
    ({"member": np.zeros(N)}, "only non-members"),
    ({"member": MEMBER * 2}, "member is not 0 or 1"),
    ({"member": np.where(MEMBER, np.nan, 0)}, "member is not 0 or 1"),
    ({"logits": np.where(np.eye(N, C) > 0, np.nan, Z)}, "NaN or infinite.*\n.*3 of them, the first of record 0"),
    ({"logits": Z[None, None]}, "wrong shape"),
    ({"index": np.zeros(N, int)}, "index is no list"),
    ({"population_logits": Z}, "population answers without labels"),
    ({"population_probabilities": Z, "population_labels": Y}, "population_probabilities beside logits"),
]


@pytest.mark.parametrize(("change", "message"), BAD_FIRST, ids=[m[:30] for _, m in BAD_FIRST])
def test_bad_outputs_are_refused(change: dict[str, Any], message: str) -> None:
    arrays = {name: value for name, value in {**FIRST, **change}.items() if value is not None}
    with pytest.raises(DataError, match=message):
        read_target(arrays, "answers.npz")


@pytest.mark.parametrize("p", [softmax(Z, -1) * 1.1, softmax(Z, -1) - 0.4 * np.eye(N, C)], ids=["sum", "negative"])
def test_declared_probabilities_must_be_some(p: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"no probabilities(.|\n)*scores"):
        read_target({"probabilities": p, "labels": Y, "member": MEMBER}, "f")


def test_logits_that_look_like_probabilities_are_warned_about() -> None:
    [(code, message)] = read_target({**FIRST, "logits": softmax(Z, -1)}, "mine.npz").notes
    assert code == "logits-look-like-probabilities"
    assert "mine.npz" in message
    assert read_target(FIRST, "f").notes == ()


BAD_SECOND: list[tuple[dict[str, Any], str]] = [
    ({"trained_on": TRAINED[:, :-1]}, "trained_on does not fit"),
    ({"trained_on": TRAINED * 3}, "trained_on is not 0 or 1"),
    ({"trained_on": None}, "there is no trained_on"),
    ({"logits": SHADOW[:, :-1], "trained_on": TRAINED[:, :-1]}, "different numbers of records"),
    ({"logits": SHADOW[..., :-1]}, "do not fit"),
    ({"logits": SHADOW[..., None].repeat(2, -1).transpose(0, 1, 3, 2)}, "do not fit"),
    ({"logits": None, "probabilities": softmax(SHADOW, -1)}, "answer different things"),
    ({"logits": None, "log_p": SHADOW[..., 0]}, "there is no log_1mp"),
]


@pytest.mark.parametrize(("change", "message"), BAD_SECOND, ids=[m[:30] for _, m in BAD_SECOND])
def test_shadow_outputs_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    target = read_target(FIRST, "f")
    arrays = {name: value for name, value in {**SECOND, **change}.items() if value is not None}
    with pytest.raises(DataError, match=message):
        read_shadows(arrays, target, "shadows.npz")


def test_records_missing_in_the_shadow_file() -> None:
    target = read_target({**FIRST, "index": np.arange(N)}, "f")
    with pytest.raises(DataError, match=r"missing in the shadow outputs\n.*\n?.*first with index 0"):
        read_shadows({**SECOND, "index": np.arange(1, N + 1)}, target, "s")
