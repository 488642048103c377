"""Saved answers in every format become the same signals; what does not fit is refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from memberwise.errors import DataError
from memberwise.signals.saved.answers import read_shadows, read_target
from memberwise.signals.saved.files import read_saved_file
from memberwise.signals.saved.table import signals_from_saved
from memberwise.signals.table import Signals

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


def read_both(first: dict[str, Any], second: dict[str, Any]) -> Signals:
    target = read_target(first, "f")
    return signals_from_saved(target, read_shadows(second, target, "s"))


@pytest.mark.parametrize(("given", "kept"), [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), ("i4", "f8"), ("i1", "f4")])
def test_full_answers_keep_the_precision_they_were_saved_in(given: str, kept: str) -> None:
    z, shadow = np.round(Z * 8).astype(given), np.round(SHADOW * 8).astype(given)
    signals = read_both({**FIRST, "logits": z}, {**SECOND, "logits": shadow})
    for answers, saved in ((signals.target, z[None]), (signals.shadows, shadow)):
        assert answers is not None
        assert answers.vectors is not None
        assert answers.vectors.dtype == kept
        assert answers.log_p.dtype == np.float32
        np.testing.assert_array_equal(answers.vectors, saved)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_answers_give_finite_signals(dtype: type) -> None:
    z = np.where(np.eye(C)[Y] > 0, 1e30, -1e30).astype(dtype)  # type: ignore[var-annotated]
    target = signals_from_saved(read_target({**FIRST, "logits": z}, "f"), None).target
    assert np.isfinite(target.log_p).all()
    assert np.isfinite(target.log_1mp).all()
    with pytest.raises(DataError, match=r"logits hold values beyond 1e\+30(.|\n)*of record 0, class 1"):
        read_target({**FIRST, "logits": z * np.where(np.arange(C) == 1, 1.1, 1.0).astype(dtype)}, "f")


NAMES = np.array(["ant", "bee", "cat"])
ANSWERED = Z.argmax(1)
WAYS: dict[str, tuple[Any, Any]] = {
    "whole floats": (Y.astype(float), ANSWERED.astype(float)),
    "floats and integers": (Y.astype(np.float32), ANSWERED.astype(np.uint8)),
    "objects": (Y.astype(object), ANSWERED.astype(object)),
    "digits": (Y.astype(str), ANSWERED.astype(str)),
    "integers and digits": (Y, ANSWERED.astype(str).astype(object)),
    "texts": (NAMES[Y], NAMES[ANSWERED]),
    "object texts": (NAMES[Y].astype(object), NAMES[ANSWERED].astype(object)),
    "bytes": (NAMES[Y].astype("S"), NAMES[ANSWERED]),
    "a column of pandas": (np.asarray(pd.Series(NAMES[Y])), np.asarray(pd.Series(NAMES[ANSWERED]))),
    "a category of pandas": (np.asarray(pd.Categorical(NAMES[Y])), NAMES[ANSWERED]),
    "texts of any length": (NAMES[Y].astype(np.dtypes.StringDType()), NAMES[ANSWERED]),
}


@pytest.mark.parametrize("way", WAYS)
def test_labels_and_answers_in_any_way_of_writing_them(way: str) -> None:
    labels, answers = WAYS[way]
    first = {"answers": answers, "labels": labels, "member": MEMBER}
    signals = read_both(first, {"answers": np.stack([answers] * M), "trained_on": TRAINED})
    for given in (signals.target, signals.shadows):
        assert given is not None
        np.testing.assert_array_equal(given.correct[:, :, 0], np.tile(ANSWERED == Y, (given.models, 1)))
    read = read_target({**FIRST, "labels": labels}, "f")
    np.testing.assert_array_equal(read.labels, Y)
    assert read_target(first, "f").notes == ()


def test_digits_are_column_numbers_and_not_texts_to_be_sorted() -> None:
    z = RNG.normal(size=(44, 11))
    first = {"logits": z, "labels": (np.arange(44) % 11).astype(str), "member": np.arange(44) % 2}
    np.testing.assert_array_equal(read_target(first, "f").labels, np.arange(44) % 11)
    named = read_target({**first, "classes": np.arange(11)[::-1]}, "f")
    np.testing.assert_array_equal(named.labels, 10 - np.arange(44) % 11)
    codes = np.char.zfill(np.asarray(first["labels"]), 2)  # "01" is a name
    read = read_target({**first, "labels": codes}, "f")
    np.testing.assert_array_equal(read.labels, np.arange(44) % 11)
    assert read.classes[0] == "00"


def test_population_labels_are_written_like_the_labels() -> None:
    population = {"population_logits": Z[:4], "population_labels": np.array(["bee", "cat", "ant", "bee"], object)}
    read = read_target({**FIRST, "labels": NAMES[Y], **population}, "f")
    np.testing.assert_array_equal(read.population_labels, [1, 2, 0, 1])
    with pytest.raises(DataError, match=r"not among the classes(.|\n)*dog(.|\n)*f, population_labels"):
        read_target({**FIRST, "labels": NAMES[Y], **population, "population_labels": np.array(["dog"] * 4)}, "f")


@pytest.mark.parametrize("text", [False, True])
def test_answers_that_are_no_class_are_wrong_and_counted(text: bool) -> None:
    answers = Y.copy()
    answers[:7] = [-1, 3, 99, -1, -1, 3, 3]
    shadow = np.tile(Y, (M, 1))
    shadow[2, :5] = 17
    given = (answers.astype(str), shadow.astype(str)) if text else (answers.astype(float), shadow)
    first = {"answers": given[0], "labels": Y, "member": MEMBER}
    target = read_target(first, "mine.npz")
    assert (np.asarray(target.raw)[0, :7] == -1).all()
    shadows = read_shadows({"answers": given[1], "trained_on": TRAINED}, target, "theirs.npz")
    for notes, share in ((target.notes, "7 of 40 answers of mine.npz"), (shadows.notes, "5 of 160 answers of theirs")):
        [(code, message)] = notes
        assert code == "unknown-answers"
        assert message.startswith(share)
    assert signals_from_saved(target, shadows).target.correct.sum() == N - 7


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_tables_own_index_is_a_column(tmp_path: Path, suffix: str) -> None:
    index = RNG.permutation(1000)[:N]
    frame = pd.DataFrame({"label": NAMES[Y], "member": MEMBER} | {f"logit_{i}": Z[:, i] for i in range(C)})
    frame.index = pd.Index(index, name="index")
    path = tmp_path / f"answers{suffix}"
    frame.to_csv(path) if suffix == ".csv" else frame.to_parquet(path)
    target = read_target(read_saved_file(path), "f")
    np.testing.assert_array_equal(target.index, index)
    np.testing.assert_array_equal(target.labels, Y)
    order = RNG.permutation(N)
    shuffled = {"logits": SHADOW[:, order], "trained_on": TRAINED[:, order], "index": index[order]}
    np.testing.assert_array_equal(read_shadows(shuffled, target, "s").trained_on, TRAINED)


@pytest.mark.parametrize("whose", ["the outputs", "the shadow outputs"])
def test_an_index_in_one_file_is_warned_about(whose: str) -> None:
    index = {"index": np.arange(N)[::-1]}
    target = read_target(FIRST | (index if whose == "the outputs" else {}), "f")
    shadows = read_shadows(SECOND | (index if whose == "the shadow outputs" else {}), target, "s")
    [(code, message)] = shadows.notes
    assert code == "index-in-one-file"
    assert message.startswith(f"only {whose} have an index: records were aligned by position")
    np.testing.assert_array_equal(shadows.trained_on, TRAINED)


def test_logs_tell_who_is_right_above_one_half_only() -> None:
    log_p = np.log(np.full((M, N), 0.4))
    log_p[:, :3] = np.log([0.51, 0.5, 0.49])
    logs = {"log_p": log_p, "log_1mp": np.log1p(-np.exp(log_p)), "trained_on": TRAINED}
    shadows = read_both(FIRST, logs).shadows
    assert shadows is not None
    np.testing.assert_array_equal(shadows.correct[:, :, 0], np.tile(np.arange(N) == 0, (M, 1)))
    rounded = {**logs, "log_p": np.where(np.arange(N) == 5, 5e-7, log_p)}
    shadows = read_both(FIRST, rounded).shadows
    assert shadows is not None
    assert (shadows.log_p[:, 5] == 0).all()


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
    (
        {"logits": np.where(np.eye(N, C) > 0, np.nan, Z)},
        "NaN or infinite.*\n.*3 of them, the first .nan. of record 0, class 0",
    ),
    ({"logits": Z[None, None]}, "wrong shape"),
    ({"index": np.zeros(N, int)}, "occur more than once(.|\n)*1 that do: 0"),
    ({"index": np.arange(N) // 2}, "occur more than once(.|\n)*that do: 0, 1, 2, 3, 4, ..."),
    ({"index": np.array([f"P{i}" for i in range(N)])}, "index holds texts(.|\n)*row numbers(.|\n)*'P0'"),
    ({"index": np.arange(N) + 0.5}, "index are not whole numbers(.|\n)*0.5 for record 0"),
    ({"index": np.where(np.arange(N) == 3, np.nan, np.arange(N))}, "index are missing(.|\n)*record 3"),
    ({"labels": np.where(np.arange(N) == 4, np.nan, Y)}, "labels are missing\n.*1 of 40, the first of record 4"),
    ({"labels": np.array([None, *NAMES[Y[1:]]], object)}, "labels are missing\n.*1 of 40, the first of record 0"),
    ({"labels": np.array([*NAMES[Y[1:]], float("nan")], object)}, "labels are missing\n.*first of record 39"),
    ({"labels": np.where(np.arange(N) > 37, "", NAMES[Y])}, "labels are missing\n.*2 of 40, the first of record 38"),
    ({"labels": np.where(np.arange(N) == 4, 0.5, Y)}, "labels are not whole numbers\n(.|\n)*0.5 for record 4"),
    ({"labels": np.where(np.arange(N) == 4, np.inf, Y)}, "labels are not whole numbers\n(.|\n)*inf for record 4"),
    ({"labels": (Y + 1).astype(str)}, "no column numbers(.|\n)*0 to 2(.|\n)*1 to 3(.|\n)*classes: the names"),
    ({"labels": Y[:, None]}, "labels has the wrong shape"),
    ({"labels": np.array(3)}, "labels has the wrong shape"),
    ({"labels": Y.astype("datetime64[D]")}, "labels are neither integers nor strings"),
    ({"classes": NAMES[:2]}, "classes do not name every column once(.|\n)*3 different names"),
    ({"classes": NAMES[[0, 1, 1]]}, "classes do not name every column once(.|\n)*2 are different"),
    ({"member": np.array([None] + [True] * (N - 1), object)}, "member is not 0 or 1\n.*None, True"),
    ({"logits": None, "answers": np.where(np.arange(N) == 4, np.nan, Y)}, "answers are missing\n.*of record 4"),
    ({"logits": None, "answers": np.where(np.arange(N) == 4, 1.5, Y)}, "answers are not whole(.|\n)*1.5 for record 4"),
    ({"logits": None, "answers": np.zeros((N, 2))}, "answers have the wrong shape"),
    ({"logits": None, "answers": np.zeros(0)}, "answers have the wrong shape"),
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


LOGS = expected_log_p(SHADOW)
BAD_SECOND: list[tuple[dict[str, Any], str]] = [
    ({"trained_on": TRAINED[:, :-1]}, "trained_on does not fit"),
    ({"trained_on": TRAINED * 3}, "trained_on is not 0 or 1"),
    ({"trained_on": None}, "there is no trained_on"),
    ({"logits": SHADOW[:, :-1], "trained_on": TRAINED[:, :-1]}, "different numbers of records"),
    ({"logits": SHADOW[..., :-1]}, "do not fit"),
    ({"logits": SHADOW[..., None].repeat(2, -1).transpose(0, 1, 3, 2)}, "do not fit"),
    ({"logits": None, "probabilities": softmax(SHADOW, -1)}, "answer different things"),
    ({"logits": None, "log_p": LOGS}, "there is no log_1mp"),
    ({"logits": None, "log_1mp": LOGS}, "there is no log_p"),
    ({"log_p": LOGS, "log_1mp": LOGS}, "log_p or log_1mp beside logits(.|\n)*leave out log_p and log_1mp"),
    ({"log_1mp": LOGS}, "log_p or log_1mp beside logits"),
    ({"logits": None, "log_p": LOGS, "log_1mp": LOGS[:, 1:]}, "differ in shape"),
    ({"logits": None, "log_p": LOGS, "log_1mp": -LOGS}, "log_1mp holds numbers above 0(.|\n)*opposite sign"),
    ({"logits": None, "log_p": LOGS + 2e-6 - LOGS.max(), "log_1mp": LOGS}, "log_p holds numbers above 0(.|\n)*1 of"),
    ({"logits": None, "log_p": LOGS[0], "log_1mp": LOGS[0]}, "log_p has the wrong shape or type"),
    ({"logits": None, "log_p": LOGS.astype(str), "log_1mp": LOGS}, "log_p has the wrong shape or type"),
    ({"logits": None, "log_p": LOGS * np.nan, "log_1mp": LOGS}, "log_p hold NaN"),
    ({"logits": None, "log_p": LOGS * 1e32, "log_1mp": LOGS}, "log_p hold values beyond"),
    ({"population_logits": SHADOW[:2, :K]}, "not of the same shadow models(.|\n)*4 models(.|\n)*2 models"),
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
