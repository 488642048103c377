"""The arrays of saved answers: found by name, checked, and brought to one shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.data.files import read_file
from memberwise.errors import DataError
from memberwise.training.kind import Kind

Arrays = Mapping[str, NDArray[Any]]
KINDS: tuple[Kind, ...] = ("logits", "probabilities", "scores")
SUM_TOLERANCE = 1e-3
# How a table names the columns of each kind of answer.
COLUMNS = {"logits": "logit", "probabilities": "p", "scores": "score"}


def read_saved_file(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file of saved answers; a table's columns ``logit_0 ...`` become one array ``logits``.

    Raises:
        DataError: the file is not there, not readable or not what its name says.
    """
    content = read_file(path)
    return _table_arrays(content, str(path)) if isinstance(content, pd.DataFrame) else content


def _table_arrays(frame: pd.DataFrame, where: str) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for kind, stem in COLUMNS.items():
        found = [c for c in frame.columns if re.fullmatch(rf"{stem}_\d+", str(c))]
        columns = [f"{stem}_{i}" for i in range(len(found))]
        missing = [c for c in columns if c not in frame]
        if missing:
            raise DataError(f"the columns {stem}_0, {stem}_1 ... have a gap", found=f"no {missing[0]}", where=where)
        if columns:
            arrays[kind] = _numbers(frame[columns], where)
    for column, name in (("label", "labels"), ("member", "member"), ("index", "index"), ("answer", "answers")):
        if column in frame:
            values = frame[column].to_numpy()
            arrays[name] = values.astype(str) if values.dtype.kind == "O" or values.dtype.kind == "T" else values
    return arrays


def _numbers(frame: pd.DataFrame, where: str) -> NDArray[Any]:
    try:
        return frame.to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError("answers are not numbers", found=str(error), where=where) from None


def read_raw(arrays: Arrays, where: str, lead: bool) -> tuple[Kind, NDArray[Any]]:
    """Kind and answers as ``(m, n, q, C)``, or ``(m, n, q)`` for labels; ``lead``: the models come first."""
    given = [name for name in (*KINDS, "answers") if name in arrays]
    if len(given) != 1:
        raise DataError(
            "no answers" if not given else "several kinds of answers",
            expected="one of logits, probabilities, scores, answers" + (", or log_p and log_1mp" if lead else ""),
            found=", ".join(sorted(arrays)) or "nothing",
            where=where,
        )
    values = np.asarray(arrays[given[0]])
    if given[0] == "answers":
        if values.ndim != (2 if lead else 1):
            raise DataError("answers have the wrong shape", found=str(values.shape), where=where)
        return "labels", (values if lead else values[None])[..., None]
    kind: Kind = given[0]  # type: ignore[assignment]  # one of KINDS
    return kind, _vectors(values, kind, where, lead, queries=True)


def _vectors(values: NDArray[Any], kind: Kind, where: str, lead: bool, queries: bool) -> NDArray[Any]:
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
    values = values[:, :, None] if values.ndim == 3 else values
    values = finite(values, kind, where)
    if values.shape[-1] == 1:
        values = _two_columns(values, kind)
    if kind == "probabilities":
        _check_probabilities(values, where)
    return values


def _two_columns(values: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """A binary model's single logit z becomes (0, z), its single probability p becomes (1 - p, p)."""
    other = np.zeros_like(values) if kind == "logits" else 1.0 - values
    return np.concatenate([other, values], axis=-1)


def _check_probabilities(values: NDArray[Any], where: str) -> None:
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


def read_population(
    arrays: Arrays, kind: Kind, where: str, lead: bool
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    name = f"population_{kind}"
    others = [f"population_{other}" for other in KINDS if other != kind and f"population_{other}" in arrays]
    if others:
        raise DataError(f"{others[0]} beside {kind}", expected=name, where=where)
    if kind == "labels" or name not in arrays:
        return None, None
    return _vectors(np.asarray(arrays[name]), kind, f"{where}, {name}", lead, False), arrays.get("population_labels")


def class_numbers(
    values: NDArray[Any], names: NDArray[Any] | None, count: int | None, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as column numbers, and the classes' names: integers count columns, strings are sorted and mapped."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise DataError("labels have the wrong shape", expected="(records,)", found=str(values.shape), where=where)
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind in "iub":
        numbers = values.astype(np.int64)
        count = count if count is not None else int(numbers.max()) + 1
        if numbers.min() < 0 or numbers.max() >= count:
            raise DataError(
                "labels are no column numbers",
                expected=f"integers 0 to {count - 1}, as there are {count} classes",
                found=f"{numbers.min()} to {numbers.max()}",
                where=f"{where}, labels",
            )
        return numbers, tuple(str(name) for name in names) if names is not None else tuple(map(str, range(count)))
    if values.dtype.kind not in "US":
        raise DataError("labels are neither integers nor strings", found=str(values.dtype), where=f"{where}, labels")
    text = values.astype(str)
    known = np.unique(text) if names is None else np.asarray(names).astype(str)
    if count is not None and len(known) != count:
        raise DataError(
            "the labels do not tell which column is which class",
            expected=f"{count} different labels, as there are {count} columns, or an array classes that names them",
            found=f"{len(known)} different labels",
            where=f"{where}, labels",
        )
    order = np.argsort(known)
    place = order[np.minimum(np.searchsorted(known, text, sorter=order), len(known) - 1)]
    if (known[place] != text).any():
        unknown = text[known[place] != text][0]
        raise DataError("a label is not among the classes", found=repr(str(unknown)), where=f"{where}, labels")
    return place.astype(np.int64), tuple(known.tolist())


def map_answers(raw: NDArray[Any], classes: tuple[str, ...], where: str) -> NDArray[np.int64]:
    """Answered labels as class numbers; an answer outside the classes is simply wrong (-1)."""
    if raw.dtype.kind in "iub":
        return raw.astype(np.int64)
    numbers = {name: i for i, name in enumerate(classes)}
    flat = [numbers.get(str(value), -1) for value in raw.reshape(-1)]
    return np.array(flat, np.int64).reshape(raw.shape)


def needed(arrays: Arrays, name: str, where: str) -> NDArray[Any]:
    if name not in arrays:
        raise DataError(
            f"there is no {name}", expected=f"an array {name}", found=", ".join(sorted(arrays)), where=where
        )
    return np.asarray(arrays[name])


def finite(values: NDArray[Any], name: str, where: str) -> NDArray[Any]:
    bad = ~np.isfinite(values)
    if bad.any():
        raise DataError(
            f"{name} hold NaN or infinite values",
            found=f"{int(bad.sum())} of them, the first of record {int(np.nonzero(bad)[1][0])}",
            where=where,
        )
    return values


def with_queries(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., None] if values.ndim == 2 else values


def zero_or_one(values: NDArray[Any], name: str, where: str) -> NDArray[np.int8]:
    values = np.asarray(values)
    if values.dtype.kind not in "iubf" or not np.isin(values, (0, 1)).all():
        found = np.unique(values[~np.isin(values, (0, 1))] if values.dtype.kind in "iubf" else values)[:5]
        raise DataError(f"{name} is not 0 or 1", found=", ".join(map(str, found)), where=f"{where}, {name}")
    return values.astype(np.int8)


def index_of(arrays: Arrays, n: int, where: str) -> NDArray[np.int64] | None:
    if "index" not in arrays:
        return None
    index = np.asarray(arrays["index"])
    same_length("index", index, n, where)
    if index.dtype.kind not in "iu" or len(np.unique(index)) != n:
        raise DataError("index is no list of different row numbers", found=str(index.dtype), where=f"{where}, index")
    return index.astype(np.int64)


def same_length(name: str, values: NDArray[Any], n: int, where: str) -> None:
    if len(values) != n:
        raise DataError(
            f"{name} and answers differ in length", expected=str(n), found=str(len(values)), where=f"{where}, {name}"
        )


def look_at(raw: NDArray[Any], kind: Kind, where: str) -> tuple[tuple[str, str], ...]:
    """A warning where logits look like probabilities."""
    if kind != "logits" or raw.min() < 0 or np.abs(raw.sum(-1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        return ()
    return (
        (
            "logits-look-like-probabilities",
            f"the logits of {where} are all non-negative and sum to 1: if they are probabilities, call the array so",
        ),
    )
