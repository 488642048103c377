"""Several binary labels a record: which sets of labels occur, and which each record has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from memberwise.data.labels import texts
from memberwise.errors import DataError, Note, StudyError, did_you_mean
from memberwise.types.arrays import Array, Ints

NO_LABEL = "none"
# Names of so many labels stand in a set's name; of more, how many.
NAMED = 6


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The labels, and the sets of them that occur.

    Attributes:
        names: ``(L,)`` of the labels, in the order of a model's answers.
        sets: ``(k, L)`` uint8 0/1, a row for each set of labels that occurs; a record's class number is its row.
    """

    names: tuple[str, ...]
    sets: Array

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each set."""
        return tuple(self._name(row) for row in self.sets)

    def place(self, label: str) -> int:
        """Which of the labels, as a study names it, this is.

        Raises:
            StudyError: there is no such label.
        """
        if label not in self.names:
            raise StudyError(
                f"there is no label {label}",
                expected="one of " + ", ".join(self.names),
                where="attacks.label",
                fix=did_you_mean(label, self.names),
            )
        return self.names.index(label)

    def of(self, numbers: Ints) -> Array:
        """``(n, L)`` uint8 labels of records of these ``(n,)`` sets."""
        return self.sets[numbers]

    def _name(self, row: Array) -> str:
        here = [self.names[i] for i in np.flatnonzero(row)]
        if len(here) > NAMED:
            return "+".join(here[:NAMED]) + f" and {len(here) - NAMED} more (" + "".join(map(str, row)) + ")"
        return "+".join(here) or NO_LABEL


def read_label_sets(
    values: object, names: Sequence[str] | None, where: str, known: LabelSets | None = None
) -> tuple[Ints, LabelSets]:
    """Class numbers ``(n,)`` and the sets that they stand for.

    Args:
        values: ``(n, L)`` 0/1, two labels or more. names: of the labels; None: their numbers.
        known: sets that have their numbers already; further ones come after them.

    Raises:
        DataError: a label is missing or neither 0 nor 1, or ``names`` do not fit them.
    """
    array = np.asarray(values)
    numbers = pd.DataFrame(array).apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = ~np.isin(numbers, (0.0, 1.0))
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise DataError(
            "several labels a record are 0 or 1 each",
            expected="0 (has it not) or 1 (has it), none missing",
            found=f"{array[row, column]!r} in row {row}, label {column}",
            where=where,
            fix="leave out records whose labels are not known, or that label; y.ravel() if y is one column",
        )
    count = array.shape[1]
    listed = tuple(map(str, range(count))) if names is None else tuple(texts(list(names)).tolist())
    if len(listed) != count or len(set(listed)) != count:
        raise DataError(
            "the names of the labels do not fit them", expected=f"{count} different names", found=", ".join(listed[:8])
        )
    matrix = numbers.astype(np.uint8)
    if known is None:
        sets, codes = np.unique(matrix, axis=0, return_inverse=True)
        return codes.reshape(-1).astype(np.int64), LabelSets(listed, sets)
    sets, codes = np.unique(np.concatenate([known.sets, matrix]), axis=0, return_inverse=True)
    order = np.argsort(np.unique(codes, return_index=True)[1], kind="stable")  # those that are known keep their numbers
    place = np.argsort(order)
    return place[codes.reshape(-1)[len(known.sets) :]].astype(np.int64), LabelSets(known.names, sets[order])


def label_set_notes(labels: LabelSets, numbers: Ints) -> list[Note]:
    """What is said of several labels a record.

    ``numbers``: ``(n,)`` sets.
    """
    here = labels.of(numbers)
    notes = [
        Note(
            "several-labels",
            f"a record has {len(labels.names)} binary labels, a sigmoid each: signals are sums over the labels (of the "
            "scaled logits, of the losses), accuracy is the mean over labels; gap asks whether all are right. Networks "
            "are trained here by the sum over labels of the binary cross-entropy; by torch's default, the mean, with "
            'training.label_loss = "mean"',
        )
    ]
    if (here.sum(1) == 1).all():
        message = "every record has exactly one of its labels: if the model ends in a softmax, give class numbers"
        notes.append(Note("one-hot-labels", f"{message} (y.argmax(1)) instead"))
    return notes
