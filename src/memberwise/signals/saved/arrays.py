"""The arrays of saved answers: found by name, checked, and brought to one shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import DataError, Note, did_you_mean
from memberwise.signals.read import RULED_OUT
from memberwise.signals.saved.impossible import possible_logits, possible_logs, ruled_out
from memberwise.signals.saved.labels import numbers_or_texts, plain, unknown_answers
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Ints

SavedArrays = Mapping[str, Array]
KINDS: tuple[Kind, ...] = ("logits", "probabilities", "scores")
SUM_TOLERANCE = 1e-3
# Log-probabilities may exceed 0 by rounding.
LOG_TOLERANCE = 1e-6
# Larger answers would overflow in what is computed from them: logs in float32, squares.
LARGEST = -RULED_OUT


def read_raw(arrays: SavedArrays, where: str, lead: bool) -> tuple[Kind, Array]:
    """Kind and answers as ``(m, n, q, C)``, or ``(m, n, q)`` for labels; ``lead``: the models come first."""
    kinds = [name for name in (*KINDS, "answers") if name in arrays]
    if len(kinds) != 1:
        raise DataError(
            "no answers" if not kinds else "several kinds of answers",
            expected="one of logits, probabilities, scores, answers" + (", or log_p and log_1mp" if lead else ""),
            found=", ".join(sorted(arrays)) or "nothing",
            where=where,
        )
    values = np.asarray(arrays[kinds[0]])
    if kinds[0] == "answers":
        if values.ndim != (2 if lead else 1) or not values.size:
            raise DataError(
                "answers have the wrong shape",
                expected="(models, records)" if lead else "(records,)",
                found=str(values.shape),
                where=where,
            )
        return "labels", (values if lead else values[None])[..., None]
    kind: Kind = kinds[0]  # type: ignore[assignment]  # one of KINDS
    return kind, _vectors(values, kind, where, lead, queries=True)


def _vectors(values: Array, kind: Kind, where: str, lead: bool, queries: bool) -> Array:
    values = values if lead else values[None]
    allowed = (3, 4) if queries else (3,)
    if values.ndim == 2 and not lead:  # one logit a record: a binary model
        values = values[..., None]
    if values.ndim not in allowed or values.dtype.kind not in "fiub" or 0 in values.shape:
        raise DataError(
            f"{kind} have the wrong shape or type",
            expected=("(models, records, classes)" if lead else "(records, classes)") + " numbers",
            found=f"{values.dtype} {values.shape if lead else values.shape[1:]}",
            where=where,
        )
    values = finite(
        values[:, :, None] if values.ndim == 3 else values, kind, where, RULED_OUT if kind == "logits" else None
    )
    if values.shape[-1] == 1:
        values = _two_columns(values, kind)
    if kind == "logits":
        values = possible_logits(values, where)
    if kind == "probabilities":
        _check_probabilities(values, where)
    return values


def _two_columns(values: Array, kind: Kind) -> Array:
    """A binary model's single logit z becomes (0, z), its single probability p becomes (1 - p, p)."""
    other = np.zeros_like(values) if kind == "logits" else 1.0 - values
    return np.concatenate([other, values], axis=-1)


def _check_probabilities(values: Array, where: str) -> None:
    sums = values.sum(-1, dtype=np.float64)
    wrong = (values < 0).any(-1) | (np.abs(sums - 1.0) > SUM_TOLERANCE)
    if wrong.any():
        model, record, _ = (int(i[0]) for i in np.nonzero(wrong))
        raise DataError(
            "these are no probabilities",
            expected="non-negative numbers that sum to 1",
            found=f"{int(wrong.sum())} answers that are not, the first of record {record} (sum {sums[wrong][0]:.4f})",
            where=f"{where}, probabilities" + (f", model {model}" if len(values) > 1 else ""),
            fix="call the array logits if it holds logits, or scores if the answers are rounded, cut or perturbed",
        )


def of_each_label(arrays: SavedArrays, where: str) -> SavedArrays:
    """The same arrays, whose probabilities are of each label and need not sum to 1: "scores".

    Raises:
        DataError: one is not within [0, 1].
    """
    named = {name: name.replace("probabilities", "scores") for name in arrays}
    if len(set(named.values())) < len(named):
        raise DataError("several kinds of answers", found=", ".join(sorted(arrays)), where=where)
    renamed = {named[name]: arrays[name] for name in arrays}
    for name in ("scores", "population_scores"):
        values = np.asarray(renamed.get(name, 0.0))
        if values.dtype.kind in "fiub" and not ((values >= 0) & (values <= 1) | np.isnan(values)).all():
            raise DataError(
                "these are no probabilities of labels",
                expected="numbers from 0 to 1; logits are called logits",
                found=f"{np.nanmin(values):g} to {np.nanmax(values):g}",
                where=f"{where}, {name}",
            )
    return renamed


def read_population(arrays: SavedArrays, kind: Kind, where: str, lead: bool) -> tuple[Array | None, Array | None]:
    """The population's answers, ``(m, n, q, C)``, and its ``(n,)`` labels; None where the file has none.

    Raises:
        DataError: they are of another kind than the audited records' answers.
    """
    name = f"population_{kind}"
    other_kinds = [f"population_{other}" for other in KINDS if other != kind and f"population_{other}" in arrays]
    if other_kinds:
        raise DataError(f"{other_kinds[0]} beside {kind}", expected=name, where=where)
    if kind == "labels" or name not in arrays:
        return None, None
    return _vectors(np.asarray(arrays[name]), kind, f"{where}, {name}", lead, False), arrays.get("population_labels")


def needed(arrays: SavedArrays, name: str, where: str) -> Array:
    """The array of that name, ``(n, ...)``.

    Raises:
        DataError: there is none.
    """
    if name not in arrays:
        near = did_you_mean(name, arrays, most=1)
        raise DataError(
            f"there is no {name}",
            expected=f"an array {name}",
            found=", ".join(sorted(arrays)),
            where=where,
            fix=f"{near} Call it {name}" if near else None,
        )
    return np.asarray(arrays[name])


def read_logs(arrays: SavedArrays, where: str) -> tuple[Array, Array]:
    """``log_p`` and ``log_1mp``, each ``(m, n, q)``, saved in place of answers."""
    kinds = [name for name in (*KINDS, "answers") if name in arrays]
    if kinds:
        raise DataError(
            f"log_p or log_1mp beside {kinds[0]}",
            expected="answers, or their logs",
            where=where,
            fix=f"leave out log_p and log_1mp (with {kinds[0]} more attacks run), or else {' and '.join(kinds)}",
        )
    log_p, log_1mp = (_log_probabilities(needed(arrays, name, where), name, where) for name in ("log_p", "log_1mp"))
    if log_p.shape != log_1mp.shape:
        raise DataError("log_p and log_1mp differ in shape", found=f"{log_p.shape} and {log_1mp.shape}", where=where)
    return log_p, log_1mp


def _log_probabilities(values: Array, name: str, where: str) -> Array:
    if values.ndim not in (2, 3) or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise DataError(
            f"{name} has the wrong shape or type",
            expected="(models, records) or (models, records, queries) numbers",
            found=f"{values.dtype} {values.shape}",
            where=where,
        )
    values = values[..., None] if values.ndim == 2 else values
    values = possible_logs(finite(values, name, where, -np.finfo(np.float64).max))
    if values.max() > LOG_TOLERANCE:
        raise DataError(
            f"{name} holds numbers above 0",
            expected="log-probabilities, at most 0 (a loss has the opposite sign)",
            found=f"{int((values > LOG_TOLERANCE).sum())} of {values.size}, the largest {values.max():.4g}",
            where=where,
        )
    return np.asarray(np.minimum(values, 0.0))


def finite(values: Array, name: str, where: str, impossible: float | None = None) -> Array:
    """``(m, n, ...)`` numbers as float32 or float64, whichever holds them without loss.

    Args:
        impossible: numbers below it stand for what is impossible, and stay; None: there are none.

    Raises:
        DataError: with the place of the first NaN, infinity or number too large.
    """
    values = values.astype(np.float32 if np.can_cast(values.dtype, np.float32) else np.float64, copy=False)
    kept = np.zeros(values.shape, bool) if impossible is None else values < impossible
    for bad, what in (
        (~np.isfinite(values) & ~kept, "NaN or infinite values"),
        ((np.abs(values) > LARGEST) & ~kept, f"values beyond {LARGEST:g}, of which nothing can be computed"),
    ):
        if bad.any():
            first = tuple(int(axis[0]) for axis in np.nonzero(bad))
            place = f"record {first[1]}" + (f", class {first[-1]}" if values.ndim == 4 else "")
            raise DataError(
                f"{name} hold {what}",
                found=f"{int(bad.sum())} of them, the first ({values[first]:g}) of {place}",
                where=where + (f", model {first[0]}" if len(values) > 1 else ""),
                fix="NaN comes from a training that diverged, or from 0/0: leave those records, or that model, out",
            )
    return values


def zero_or_one(values: Array, name: str, where: str) -> NDArray[np.int8]:
    """Values as int8, ``(n,)`` or of any other shape.

    Raises:
        DataError: one is neither 0 nor 1.
    """
    values = plain(values)
    if values.dtype.kind not in "iubf" or not np.isin(values, (0, 1)).all():
        strange = values[~np.isin(values, (0, 1))] if values.dtype.kind in "iubf" else values
        examples = sorted(set(map(str, strange.reshape(-1).tolist())))[:5]
        raise DataError(f"{name} is not 0 or 1", found=", ".join(examples), where=f"{where}, {name}")
    return values.astype(np.int8)


def index_of(arrays: SavedArrays, n: int, where: str) -> Ints | None:
    """The ``(n,)`` row numbers of the records, or None where the file has none.

    Raises:
        DataError: there are fewer or more than ``n``, or one occurs twice.
    """
    if "index" not in arrays:
        return None
    index = numbers_or_texts(arrays["index"], "index", where, "leave the index out where it is not known")
    same_length("index", index, n, where)
    if index.dtype.kind == "U":
        index = _row_numbers(index, where)
    distinct, times = np.unique(index, return_counts=True)
    if len(distinct) < n:
        twice = distinct[times > 1]
        shown = ", ".join(map(str, twice[:5])) + (", ..." if len(twice) > 5 else "")
        raise DataError(
            "row numbers of the index occur more than once",
            expected="another row number for every record",
            found=f"{len(twice):,} that do: {shown}",
            where=f"{where}, index",
            fix="one row a record; answers to several queries about a record go into one array (n, queries, classes)",
        )
    return index


def _row_numbers(texts: Array, where: str) -> Ints:
    """Texts of digits as row numbers."""
    wrong = np.flatnonzero(~np.char.isdecimal(texts) | (np.char.str_len(texts) > 18))
    if len(wrong):
        raise DataError(
            "the index holds texts",
            expected="row numbers: integers",
            found=f"{str(texts[wrong[0]])!r} for record {wrong[0]}",
            where=f"{where}, index",
            fix="number the records the same way in all files, or leave the index out: then files align by position",
        )
    return texts.astype(np.int64)


def same_length(name: str, values: Array, n: int, where: str) -> None:
    """DataError unless the values are ``(n,)``."""
    if values.ndim != 1:
        raise DataError(
            f"{name} has the wrong shape", expected="(records,)", found=str(values.shape), where=f"{where}, {name}"
        )
    if len(values) != n:
        raise DataError(
            f"{name} and answers differ in length", expected=str(n), found=str(len(values)), where=f"{where}, {name}"
        )


def look_at(raw: Array, kind: Kind, where: str, saved: Array | None = None) -> tuple[Note, ...]:
    """A warning where logits look like probabilities or (as ``saved``) rule classes out, or where answered labels are
    none of the classes.

    Args:
        raw: ``(m, n, q, C)`` answers, or labels. saved: the logits before anything was done to them.
    """
    if kind == "labels":
        return unknown_answers(raw, where)
    if kind == "logits" and saved is not None and (notes := ruled_out(np.asarray(saved), where)):
        return notes
    if kind != "logits" or raw.min() < 0 or np.abs(raw.sum(-1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        return ()
    return (
        Note(
            "logits-look-like-probabilities",
            f"the logits of {where} are all non-negative and sum to 1: if they are probabilities, call the array so",
        ),
    )
