"""What an ONNX classifier's outputs say about classes.

An array by class, skl2onnx's maps from classes to numbers (ZipMap) or one output a class (zipmap="columns"), one number
for two classes, or labels alone. Classes that are named are matched with the data's by what they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import TargetError, did_you_mean
from memberwise.models.kinds import kind_by_range
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

# Outputs by name: arrays (n, ...), or lists of n maps.
Output = Any
Outputs = Mapping[str, Output]
# Columns of answers are put in another order where labels beside them agree with that for so many records, and not now.
AGREES, DISAGREES = 0.9, 0.5


@dataclass(frozen=True)
class Reader:
    """``read(outputs)`` are ``(n, C)`` answers of ``kind`` (``(n,)`` class numbers); only ``outputs`` are needed.

    ``others``: outputs that could have been the answer as well.
    """

    read: Callable[[Outputs], Array]
    kind: Kind
    outputs: list[str]
    others: tuple[str, ...] = ()


def choose_reader(
    path: Path, answers: Outputs, records: int, classes: Sequence[str], output: str | None = None
) -> Reader:
    """How this model's outputs are read, from its answers to a few records.

    ``output`` names the answer; else it is the first that tells classes apart.

    Raises:
        TargetError: none of them tells classes apart, or they are about other classes than the data's, or there is no
            output of that name.
    """
    if output is not None and output not in answers:
        raise TargetError(
            f"the target {path} has no such output",
            expected=", ".join(answers),
            found=output,
            where="target.output",
            fix=did_you_mean(output, answers),
        )
    arrays = {
        name: _squeezed(value)
        for name, value in answers.items()
        if isinstance(value, np.ndarray) and len(value) == records
    }
    names = [name for name, value in answers.items() if len(value) == records and output in (None, name)]
    floats = {name: arrays[name] for name in names if name in arrays and arrays[name].dtype.kind == "f"}
    lone = [name for name, value in floats.items() if value.ndim == 1]
    for name in names:
        if isinstance(answers[name], list) and isinstance(answers[name][0], Mapping):
            return _of_maps(path, name, answers, classes)
    by_class = [name for name, value in floats.items() if value.ndim == 2 and value.shape[1] == len(classes)]
    if by_class:
        return replace(_of_array(by_class[0], floats[by_class[0]], arrays, classes), others=tuple(by_class[1:]))
    if len(lone) == len(classes):
        return _of_columns(lone, answers, classes)
    if lone and len(classes) == 2:
        return replace(_of_one_number(lone[0], floats[lone[0]]), others=tuple(lone[1:]))
    fewer = any(value.ndim == 2 and 1 < value.shape[1] < len(classes) for value in floats.values())
    labels = [
        name for name in names if name in arrays and arrays[name].ndim == 1 and arrays[name].dtype.kind in "iuOUSb"
    ]
    if labels and not fewer:
        return _of_labels(path, labels[0], arrays[labels[0]], classes)
    raise TargetError(
        f"the target {path} answers nothing by which the data's classes are told",
        expected=f"an output of shape (records, {len(classes)}), or skl2onnx's maps from classes to probabilities",
        found=", ".join(f"{name}: {_shape(value)}" for name, value in answers.items()),
        where="target.file",
        fix="export it for the data's classes; a model that saw only some of them with skl2onnx's default, which names "
        "its classes (zipmap)",
    )


def text_of(label: object) -> str:
    """A label as the data's classes are called: whole floats and booleans like integers."""
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    if isinstance(label, (bool, np.bool_)) or (isinstance(label, (float, np.floating)) and float(label).is_integer()):
        return str(int(label))
    return str(label)


def numbering(path: Path, labels: Sequence[object], classes: Sequence[str]) -> dict[str, int]:
    """From the texts of a model's own labels to class numbers: by name, else integers in 0..C-1 are the numbers.

    Raises:
        TargetError: some are none of the data's classes.
    """
    known = {name: number for number, name in enumerate(classes)}
    texts = [text_of(label) for label in labels]
    for numbers in (known, {str(number): number for number in range(len(classes))}):
        if all(text in numbers for text in texts):
            return numbers
    strange = [text for text in texts if text not in known]
    raise TargetError(
        f"the target {path} answers about other classes than the data's",
        expected="some of " + ", ".join(classes[:8]),
        found=", ".join(strange[:8]),
        where="target.file",
        fix="give the data their labels as the target was trained on them",
    )


def _of_maps(path: Path, name: str, answers: Outputs, classes: Sequence[str]) -> Reader:
    keys = list(answers[name][0])
    known = numbering(path, keys, classes)
    numbers = [known[text_of(key)] for key in keys]

    def read(outputs: Outputs) -> Array:
        values = np.zeros((len(outputs[name]), len(classes)))
        values[:, numbers] = [[one[key] for key in keys] for one in outputs[name]]
        return values

    return Reader(read, kind_by_range(read(answers)), [name])


def _of_array(name: str, example: Array, arrays: Outputs, classes: Sequence[str]) -> Reader:
    order = _order(example, arrays, classes)

    def read(outputs: Outputs) -> Array:
        values = _squeezed(outputs[name])
        values = values.astype(np.float32) if values.dtype == np.float16 else values
        return values if order is None else values[:, order]

    return Reader(read, kind_by_range(read({name: example})), [name])


def _order(example: Array, arrays: Outputs, classes: Sequence[str]) -> NDArray[np.intp] | None:
    """Columns in the order of the data's classes, where labels beside them say that theirs is the sorted one."""
    known = {text: number for number, text in enumerate(classes)}
    top = example.argmax(1)
    for value in arrays.values():
        if value.ndim != 1 or value.dtype.kind not in "iuOUS":
            continue
        labels = np.array([known.get(text_of(label), -1) for label in value])
        if (labels < 0).any() or (labels == top).mean() >= DISAGREES:
            continue
        # Integers are sorted as such, texts as texts, though they be of digits.
        key = (
            (lambda number: int(classes[number]))
            if value.dtype.kind in "iu" and _whole(classes)
            else classes.__getitem__
        )
        columns = np.array(sorted(range(len(classes)), key=key), np.intp)
        if (labels == columns[top]).mean() >= AGREES:
            return np.argsort(columns)
    return None


def _whole(classes: Sequence[str]) -> bool:
    return all(text.removeprefix("-").isdecimal() for text in classes)


def _of_columns(names: Sequence[str], answers: Outputs, classes: Sequence[str]) -> Reader:
    """One output a class: by name (skl2onnx: i0, i1 of integers, sB, sM of texts), else in their order."""
    known = {text: number for number, text in enumerate(classes)}
    for cut in (0, 1):
        if {name[cut:] for name in names} == {*classes}:
            names = sorted(names, key=lambda name: known[name[cut:]])
            break

    def read(outputs: Outputs) -> Array:
        values: Array = np.stack([_squeezed(outputs[name]) for name in names], axis=1)
        return values.astype(np.float32) if values.dtype == np.float16 else values

    return Reader(read, kind_by_range(read(answers)), list(names))


def _of_one_number(name: str, example: Array) -> Reader:
    """Of two classes: the second one's probability, or its logit against the first's."""
    probability = bool(example.min() >= 0 and example.max() <= 1)

    def read(outputs: Outputs) -> Array:
        z = _squeezed(outputs[name]).astype(np.float64)
        return np.stack([1 - z if probability else np.zeros_like(z), z], axis=1)

    return Reader(read, "probabilities" if probability else "logits", [name])


def _of_labels(path: Path, name: str, example: Array, classes: Sequence[str]) -> Reader:
    known = numbering(path, np.unique(example.astype(str)).tolist(), classes)

    def read(outputs: Outputs) -> Array:
        distinct, which = np.unique(_squeezed(outputs[name]).astype(str), return_inverse=True)
        numbers = np.array([known.get(text_of(label), -1) for label in distinct], np.int64)  # -1: none of the data's
        return numbers[which.reshape(-1)]

    return Reader(read, "labels", [name])


def _squeezed(value: Array) -> Array:
    """Without dimensions of one but the first."""
    return value.reshape(len(value), *(size for size in value.shape[1:] if size != 1))


def _shape(value: Output) -> str:
    return (
        f"{value.dtype} {value.shape}"
        if isinstance(value, np.ndarray)
        else f"{len(value)} of {type(value[0]).__name__}"
    )
