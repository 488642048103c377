"""Saved answers as the user has them, a file, a DataFrame or a dict, become arrays under the names they are read by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.data.chosen import flat_columns
from memberwise.data.features import array_of
from memberwise.data.files import read_file
from memberwise.data.tables import notes_of
from memberwise.errors import DataError, Note, did_you_mean
from memberwise.types.arrays import Array, Arrays

# How a table names the columns of each kind of answer.
COLUMNS = {"logits": "logit", "probabilities": "p", "scores": "score"}
# What tables and arrays call the other parts, in any case; the first is the table's word, the second the array's.
PARTS = (("label", "labels"), ("member", "member"), ("index", "index"), ("answer", "answers"))
# What R's caret and yardstick, and scikit-learn's users, call the true class.
TRUTH = ("label", "labels", "truth", "obs", "y_true", "true_class", "true_label")
ALIASES = {"member": "member", "members": "member", "answer": "answers", "answers": "answers", "index": "index"}
ALIASES |= dict.fromkeys(TRUTH, "labels")
LABEL_BY_NAME = "name the column of true classes with --label COLUMN"


Content = Mapping[str, object] | pd.DataFrame


class SavedArrays(Arrays):
    """Arrays by name, and what was noticed while they were read."""

    notes: tuple[Note, ...] = ()


def read_saved_file(path: str | Path, shadows: bool = False, label: str | None = None) -> SavedArrays:
    """The arrays of a file of saved answers; a table's columns ``logit_0 ...`` become one array ``logits``.

    Args:
        path: or two of them with a comma between: answers about members, and about non-members.
        shadows: they are shadow models' answers, which no table holds. label: what the true classes are called there.

    Raises:
        DataError: the file is not there, not readable or not what its name says.
    """
    parts, names = [part.strip() for part in str(path).split(",")], TRUTH if label is None else (label,)
    if not shadows and len(parts) == 2 and all(parts) and not Path(path).exists():
        contents = [_with_label(read_file(part, labels=(*names, "answer")), label, part) for part in parts]
        return _two_sides([(_content_arrays(one, part), part) for one, part in zip(contents, parts, strict=True)])
    content = read_file(path, labels=(*names, "answer"))
    return _arrays(content if shadows else _with_label(content, label, str(path)), str(path), shadows)


def _with_label(content: Content, label: str | None, where: str) -> Content:
    """The content with its true classes, which the user names, under the name that they are read by.

    Raises:
        DataError: there is nothing of that name.
    """
    if label is None:
        return content
    table = isinstance(content, pd.DataFrame)
    names = [str(name) for name in content]
    if label not in names:
        raise DataError(
            f"there is no {'column' if table else 'array'} {label}",
            expected="the true classes, one of " + ", ".join(names),
            where=f"{where}, data.label (--label)",
            fix=did_you_mean(label, names),
        )
    others = [name for name in content if str(name) != label and ALIASES.get(str(name).strip().lower()) == "labels"]
    if isinstance(content, pd.DataFrame):
        return content.drop(columns=others).rename(columns={label: "label"})
    return {"labels" if name == label else name: values for name, values in content.items() if name not in others}


def saved_object(answers: object, name: str, label: str | None = None) -> SavedArrays:
    """The arrays of saved answers that Python code hands over: a dict of arrays, a DataFrame, or a pair of them, about
    members and about non-members.

    Args:
        name: "outputs" or "shadow_outputs". label: what the true classes are called there.

    Raises:
        DataError: neither of these, or a table without answers, labels or members.
    """
    if name == "outputs" and isinstance(answers, (tuple, list)) and len(answers) == 2:
        sides = [saved_side(one, f"{name}[{i}]", label) for i, one in enumerate(answers)]
        return _two_sides([(arrays, f"{name}[{i}]") for i, arrays in enumerate(sides)])
    if not isinstance(answers, (Mapping, pd.DataFrame)):
        raise DataError(
            f"{name} are no saved answers",
            expected="a file, a dict of arrays, such as dict(logits=z, labels=y, member=m)"
            + (", or a DataFrame" if name == "outputs" else ""),
            found=type(answers).__name__,
            where=name,
        )
    shadows = name == "shadow_outputs"
    return _arrays(answers if shadows else _with_label(answers, label, name), name, shadows)


def saved_side(answers: object, where: str, label: str | None = None) -> SavedArrays:
    """The arrays of one of two sides, which says nothing of members.

    Raises:
        DataError: it is neither a dict of arrays nor a DataFrame.
    """
    if not isinstance(answers, (Mapping, pd.DataFrame)):
        raise DataError("these are no saved answers", expected="a dict of arrays or a DataFrame", where=where)
    return _content_arrays(_with_label(answers, label, where), where)


def _content_arrays(content: Mapping[str, object] | pd.DataFrame, where: str) -> SavedArrays:
    """One side's arrays: as of a whole file, but that its side says who is a member."""
    names = content.columns if isinstance(content, pd.DataFrame) else content
    said = [str(name) for name in names if ALIASES.get(str(name).strip().lower()) == "member"]
    if said:
        raise DataError(
            "of two files the first holds members, the second non-members, so neither says so itself",
            found=f"{said[0]} in {where}",
            where=where,
            fix="give one of them alone, or leave that column out of both",
        )
    if isinstance(content, pd.DataFrame):
        return _arrays(content.assign(member=0), where, shadows=False)
    return _arrays(content, where, shadows=False)


def _two_sides(sides: Sequence[tuple[SavedArrays, str]]) -> SavedArrays:
    """Answers about members and about non-members, one under the other.

    Raises:
        DataError: they do not hold the same arrays, of the same width.
    """
    (inside, one), (outside, other) = sides
    both = f"{one}, {other}"
    apart = {name for name in {*inside, *outside} if not name.startswith("population") and name not in ("member",)}
    missing = [name for name in sorted(apart) if (name in inside) != (name in outside)]
    if missing:
        raise DataError("the two files do not hold the same", found=f"only one has {missing[0]}", where=both)
    joined = SavedArrays({name: values for name, values in (inside | outside).items() if name.startswith("population")})
    for name in sorted(apart):
        first, second = np.asarray(inside[name]), np.asarray(outside[name])
        if name == "classes":
            if not np.array_equal(first, second):
                raise DataError("the two files name other classes", found=f"{first} and {second}", where=both)
            joined[name] = first
        elif first.shape[1:] != second.shape[1:]:
            raise DataError(f"{name} differ in shape", found=f"{first.shape} and {second.shape}", where=both)
        else:
            joined[name] = np.concatenate([first, second])
    answers = next((name for name in (*COLUMNS, "answers") if name in inside), None)
    if answers is None or "labels" not in inside:
        raise DataError("no answers" if answers is None else "there are no labels", found=", ".join(inside), where=one)
    counts = [len(np.asarray(side[answers])) for side in (inside, outside)]
    joined["member"] = np.repeat([1, 0], counts)
    joined.notes = (*inside.notes, *outside.notes)
    if "index" in joined and len(np.unique(joined["index"])) < len(joined["index"]):
        del joined["index"]
        joined.notes += (Note("index-of-each-file", f"row numbers of {one} and {other} overlap, so they are left out"),)
    return joined


def _arrays(content: Mapping[str, object] | pd.DataFrame, where: str, shadows: bool) -> SavedArrays:
    if isinstance(content, pd.DataFrame):
        if shadows:
            raise DataError(
                "shadow models' answers do not fit into a table",
                expected="arrays (models, records, classes) and trained_on (models, records)",
                found=f"a table with columns {', '.join(map(str, content.columns[:6]))}",
                where=where,
                fix="a .npz, or a dict of arrays",
            )
        read = SavedArrays(_table_arrays(content, where))
        read.notes = notes_of(content)
        return read
    arrays = {str(name): array_of(values, str(name), where) for name, values in content.items()}
    return SavedArrays({_array_name(name, arrays): values for name, values in arrays.items()})


def _array_name(name: str, arrays: Mapping[str, object]) -> str:
    """The name by which an array is read: label and Labels mean labels, where there is no array of that name."""
    meant = ALIASES.get(name.strip().lower(), name)
    same = [other for other in arrays if ALIASES.get(other.strip().lower(), other) == meant]
    return meant if meant not in arrays and len(same) == 1 else name


def _table_arrays(frame: pd.DataFrame, where: str) -> Arrays:
    """Columns as arrays.

    Raises:
        DataError: a gap in the columns of answers, answers that are no numbers, or no answers, labels or members.
    """
    if "index" in frame.index.names and "index" not in frame:
        frame = frame.reset_index("index")
    frame = flat_columns(frame)
    arrays: Arrays = {}
    for kind, stem in COLUMNS.items():
        columns = [f"{stem}_{i}" for i in range(sum(bool(re.fullmatch(rf"{stem}_\d+", c)) for c in frame.columns))]
        missing = [c for c in columns if c not in frame]
        if missing:
            raise DataError(f"the columns {stem}_0, {stem}_1 ... have a gap", found=f"no {missing[0]}", where=where)
        if columns:
            arrays[kind] = _numbers(frame[columns], where)
    if not arrays:
        arrays |= _named_by_class(frame, where)
    for column, name in PARTS:
        if name not in arrays and (here := _column(frame, column, name)) is not None:
            arrays[name] = _values(frame, here, where)
    if not set(arrays) & {*COLUMNS, "answers"}:
        raise DataError(
            "no answers",
            expected="columns logit_0, logit_1 ... (or p_0 ..., score_0 ..., or answer), or named by class (p_ill, "
            "p_well), beside label and member",
            found=", ".join(frame.columns),
            where=where,
            fix=_without_answers(frame),
        )
    for column, name in PARTS[:2]:
        if name not in arrays:
            near = did_you_mean(column, map(str, frame.columns), most=1)
            raise DataError(
                f"there is no column {column}",
                expected=f"a column {column}: " + ("the true class" if column == "label" else "1 for members, else 0"),
                found=", ".join(frame.columns),
                where=where,
                fix=f"{near} Rename that column to {column}" if near else LABEL_BY_NAME if column == "label" else None,
            )
    return arrays


def _named_by_class(frame: pd.DataFrame, where: str) -> Arrays:
    """Answers whose columns are named by class: ``p_ill, p_well``, or ``ill, well`` as R's ``predict`` gives them.

    Nothing where no label is the name of a column.
    """
    column = _column(frame, "label", "labels")
    if column is None or frame[column].isna().any():
        return {}
    labels = sorted({_as_name(value) for value in frame[column]})
    for kind, stem in ((None, ""), *((kind, f"{stem}_") for kind, stem in COLUMNS.items())):
        if len(labels) < 2 or not {f"{stem}{label}" for label in labels} <= set(frame.columns):
            continue
        # With a stem every such column is a class; by the bare name only those that occur as labels are told.
        names = [c.removeprefix(stem) for c in frame.columns if stem and c.startswith(stem)] or labels
        values = _numbers(frame[[f"{stem}{name}" for name in names]], where)
        form = kind or ("probabilities" if _sum_to_one(values) else "scores" if _near_one(values) else "logits")
        return {form: values, "classes": np.array(names), "labels": np.array([_as_name(v) for v in frame[column]])}
    rest = [c for c in frame.columns if c != column and pd.api.types.is_numeric_dtype(frame[c])]
    named = _affixed(rest, labels) if len(labels) > 1 else None
    shares = np.empty((0, 2)) if named is None else _numbers(frame[list(named)], where)
    if named is None or not _near_one(shares):  # else they may be anything, features perhaps
        return {}
    form = "probabilities" if _sum_to_one(shares) else "scores"
    classes, truth = np.array([*named.values()]), np.array([_as_name(v) for v in frame[column]])
    return {form: shares, "classes": classes, "labels": truth}


def _affixed(columns: Sequence[str], labels: Sequence[str]) -> dict[str, str] | None:
    """From columns such as Prob.ill, Prob.well or ill_prob, well_prob to their classes; None where no affix is common.

    ``labels``: those that occur; what else has the affix is a class, too.
    """
    before = [{c.removesuffix(label) for c in columns if c.endswith(label)} for label in labels]
    after = [{c.removeprefix(label) for c in columns if c.startswith(label)} for label in labels]
    prefixes = [rest for rest in set.intersection(*before) if rest and not rest[-1].isalnum()]
    suffixes = [rest for rest in set.intersection(*after) if rest and not rest[0].isalnum()]
    if len(prefixes) == 1:
        return {c: c.removeprefix(prefixes[0]) for c in columns if c.startswith(prefixes[0])}
    if len(suffixes) == 1:
        return {c: c.removesuffix(suffixes[0]) for c in columns if c.endswith(suffixes[0])}
    return None


def _without_answers(frame: pd.DataFrame) -> str | None:
    """What to do about a table in which no answers are found."""
    if len(frame.columns) == 1:
        return "are its columns separated by commas, semicolons or tabs?"
    if _column(frame, "label", "labels") is None:
        return LABEL_BY_NAME
    return None


def _as_name(value: object) -> str:
    """A label as a column would be called: 1.0 is 1."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value == int(value) else str(value)


def _sum_to_one(values: Array) -> bool:
    return bool((values >= 0).all() and (np.abs(values.sum(1) - 1) < 1e-3).all())


def _near_one(values: Array) -> bool:
    """Probabilities that were rounded or cut, perhaps."""
    return bool((values >= 0).all() and (values <= 1).all() and (np.abs(values.sum(1) - 1) < 0.05).all())


def _column(frame: pd.DataFrame, column: str, name: str) -> str | None:
    """The column of this name, else the only one that means it; an index goes by its very name."""
    if column in frame or column == "index":
        return column if column in frame else None
    meant = [c for c in frame.columns if ALIASES.get(c.strip().lower()) == name]
    return meant[0] if len(meant) == 1 else None


def _values(frame: pd.DataFrame, column: str, where: str) -> Array:
    if list(frame.columns).count(column) > 1:
        raise DataError("two columns have the same name", found=column, where=where)
    return np.asarray(frame[column].to_numpy())


def _numbers(frame: pd.DataFrame, where: str) -> Array:
    try:
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError("answers are not numbers", found=str(error), where=where) from None
