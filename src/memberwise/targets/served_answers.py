"""What a served model's outputs are: figures by class or a label a record, and of which kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from memberwise.data.labels import ClassLabels
from memberwise.errors import TargetError
from memberwise.models.kinds import Kind, kind_of_answers
from memberwise.targets.answer_store import Answer
from memberwise.types.arrays import Array, Floats, Ints

# What figures are usually called, where a model has several outputs that fit.
USUAL = ("prob", "softmax", "score", "logit")
LabelsBy = Literal["values", "places"]
# Share of the records that a limit on classes is read off.
MOST = 0.98
# Rows of probabilities sum to 1 but for this.
OFF = 0.1


@dataclass(frozen=True)
class AnswerReader:
    """Reads one model's outputs.

    Attributes:
        labels: the data's classes. order: names of the classes as the server orders them; empty: as the data do.
        output: the output's name, where the study says it.
    """

    labels: ClassLabels
    order: tuple[str, ...] = ()
    output: str | None = None

    @property
    def places(self) -> Ints:
        """``(C,)``: in which of the server's columns each of the data's classes stands.

        Raises:
            TargetError: ``order`` does not name each of the data's classes once.
        """
        count = len(self.labels)
        if not self.order:
            return np.arange(count)
        numbers = self.labels.numbers_of(np.array(self.order))
        if (numbers < 0).any() and set(self.order) == set(self.labels.names):
            numbers = np.array([self.labels.names.index(name) for name in self.order])
        if sorted(numbers.tolist()) != list(range(count)):
            raise TargetError(
                "target.classes are not the data's classes",
                expected=f"each once, in the server's order: {', '.join(self.labels.names[:12])}",
                found=", ".join(self.order[:12]),
                where="target.classes",
            )
        return np.argsort(numbers)

    def read(self, outputs: Mapping[str, Array], count: int) -> list[Answer]:
        """``count`` answers: ``(C,)`` float64 figures in the data's order of classes, or labels.

        Raises:
            TargetError: no output, or none that can be told from others, has the data's classes; NaN.
        """
        named = self.output is not None and self.output in outputs
        chosen = {str(self.output): outputs[str(self.output)]} if named else dict(outputs)
        columns = self._columns(chosen, count)
        if columns is not None:
            return self._figures(columns, count)
        figures = {name: values for name, values in chosen.items() if self._is_figures(values, count)}
        if len(figures) > 1:
            usual = [name for word in USUAL for name in figures if word in name.lower()]
            figures = {usual[0]: figures[usual[0]]} if usual else figures
        values_read = {name: values for name, values in chosen.items() if _is_label(values, count)}
        if len(figures) == 1:
            [values] = figures.values()
            return self._figures(_both_sides(values)[:, self.places] if values.size else values, count)
        if not figures and len(values_read) > 1:
            values_read = {
                name: values for name, values in values_read.items() if "label" in name.lower() or "class" in name
            }
        if figures or len(values_read) != 1:
            raise self._unfit(outputs, count)
        [answers] = values_read.values()
        labels: list[Answer] = [_label(value) for value in answers.reshape(count).tolist()]
        return labels

    def _columns(self, outputs: Mapping[str, Array], count: int) -> Array | None:
        """Figures that came as one output a class, called by the classes' names: in the data's order."""
        names = self.labels.names
        if len(names) < 2 or set(outputs) != set(names):
            return None
        if any(values.reshape(count, -1).shape[1] != 1 or values.dtype.kind == "U" for values in outputs.values()):
            return None
        return np.stack([np.asarray(outputs[name], np.float64).reshape(count) for name in names], axis=1)

    def _is_figures(self, values: Array, count: int) -> bool:
        if values.dtype.kind == "U":
            return False
        if values.shape == (count, len(self.labels)) and len(self.labels) > 1:
            return True
        single = values.size == count and len(self.labels) == 2
        with np.errstate(invalid="ignore"):
            return bool(single and values.dtype.kind == "f" and (values != np.rint(values)).any())

    def _figures(self, values: Array, count: int) -> list[Answer]:
        figures = np.asarray(values, np.float64)
        bad = int(np.isnan(figures).any(1).sum())
        if bad:
            raise TargetError(
                "the served model answers NaN",
                expected="a number for every class",
                found=f"{bad:,} of {count:,} records without",
                where="target.endpoint",
            )
        return [row.copy() for row in figures]

    def _unfit(self, outputs: Mapping[str, Array], count: int) -> TargetError:
        several = len(outputs) > 1
        forms = ", ".join(f"{name} {values.shape}" for name, values in outputs.items()) or "no output"
        return TargetError(
            "the served model does not answer as the data has classes",
            expected=f"figures of shape {(count, len(self.labels))}, or {count} labels",
            found=forms + ("" if self.output is None or self.output in outputs else f"; no output {self.output}"),
            where="target.output",
            fix="name the output: --set target.output=NAME"
            if several
            else "the data and the model that belong together",
        )

    def named_by(self, labels: Sequence[object]) -> LabelsBy:
        """Whether many answered labels are the data's own, or places in the server's order of classes."""
        return "values" if (self.labels.numbers_of(_labels(labels)) >= 0).all() else "places"

    def numbers_of(self, labels: Sequence[object], by: LabelsBy) -> Ints:
        """``(n,)`` class numbers of answered labels.

        Raises:
            TargetError: a label is none of the data's classes.
        """
        if by == "values":
            numbers = np.asarray(self.labels.numbers_of(_labels(labels)), np.int64)
        else:
            at = np.argsort(self.places)
            whole = [_place(label) for label in labels]
            numbers = np.array([at[place] if 0 <= place < len(at) else -1 for place in whole], np.int64)
        if (numbers < 0).any():
            strange = sorted({str(label) for label, number in zip(labels, numbers, strict=True) if number < 0})
            raise TargetError(
                "the served model answers labels that are none of the data's classes",
                expected="one of " + ", ".join(repr(value) for value in np.asarray(self.labels.values).tolist()[:8]),
                found=", ".join(strange[:8]),
                where="target.endpoint",
            )
        return numbers


def told_kind(answers: Floats) -> Kind:
    """What ``(n, C)`` answers of many records are: scores are in [0, 1] and do not sum to 1, such as rounded ones."""
    if kind_of_answers(answers) == "probabilities":
        return "probabilities"
    return "scores" if answers.min() >= 0 and answers.max() <= 1 else "logits"


def why_not(kind: Kind, answers: Floats) -> str | None:
    """Why ``(n, C)`` answers are not of this kind, or None where they may be."""
    if kind != "probabilities":
        return None
    low = int((answers < -1e-6).any(1).sum())
    off = int((np.abs(answers.sum(1) - 1) > OFF).sum())
    if not low and not off:
        return None
    return f"{low:,} of {len(answers):,} records with a negative one, {off:,} that do not sum to 1"


@dataclass(frozen=True)
class Coarseness:
    """How coarse figures look.

    Attributes:
        digits: decimal places that hold all of them, up to 4; None where they need more.
        nonzero: classes that are not 0, at most, of nearly all records. classes: C.
    """

    digits: int | None
    nonzero: int
    classes: int

    @classmethod
    def of(cls, answers: Array) -> Coarseness:
        """Of ``(n, C)`` figures, in float32 or float64."""
        values = np.asarray(answers, np.float64)
        near = 1e-6 if answers.dtype == np.float32 else 1e-9
        digits = next((d for d in range(5) if np.abs(values - np.round(values, d)).max(initial=0) <= near), None)
        shown = np.sort((values != 0).sum(1))  # of ties one class more is shown
        return cls(digits, int(shown[int(MOST * (len(shown) - 1))]) if len(shown) else 0, answers.shape[1])

    def coarser_than(self, other: Coarseness) -> bool:
        rounded = self.digits is not None and (other.digits is None or self.digits < other.digits)
        return rounded or self.nonzero < min(self.classes, other.nonzero)

    def words(self) -> str:
        """Such as "rounded to 2 digits, at most 3 classes of 10"; empty where nothing is seen."""
        parts = [] if self.digits is None else [f"rounded to {self.digits} digits"]
        parts += [f"at most {self.nonzero} of {self.classes} classes"] if self.nonzero < self.classes else []
        return ", ".join(parts)


def _both_sides(values: Array) -> Array:
    """``(n, C)``; of two classes the second one's probability alone says both."""
    if values.ndim == 2 and values.shape[1] > 1:
        return values
    second = np.asarray(values, np.float64).reshape(-1)
    return np.stack([1 - second, second], axis=1)


def _is_label(values: Array, count: int) -> bool:
    if values.size != count:
        return False
    if values.dtype.kind in "iuU":
        return True
    with np.errstate(invalid="ignore"):
        return bool(values.dtype.kind == "f" and (values == np.rint(values)).all())


def _place(label: object) -> int:
    """A whole number, -1 for anything else."""
    whole = isinstance(label, (int, float)) and not isinstance(label, bool) and float(label).is_integer()
    return int(str(label).partition(".")[0]) if whole else -1


def _label(value: object) -> str | int | float:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (str, int, float)) else str(value)


def _labels(labels: Sequence[object]) -> Array:
    return np.array(list(labels)) if len({type(label) for label in labels}) == 1 else np.array(list(labels), object)
