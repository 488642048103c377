"""Records of several inputs, or of whole numbers: how they lie in one array, and how a model gets them back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from memberwise.data.features import EXACT, LARGEST, array_of
from memberwise.errors import DataError
from memberwise.types.arrays import Array, Arrays, Floats32

if TYPE_CHECKING:
    from torch import Tensor

Sliced = TypeVar("Sliced", Array, "Tensor")
# Types of whole numbers that a model gets as they are; of others that torch does not compute with, the next larger.
WIDER = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}


@dataclass(frozen=True)
class Input:
    """One input of a record. ``shape``: of one record's part. ``dtype``: as the model gets it."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """How records that are no plain numbers lie in one float32 array, exactly.

    Attributes:
        inputs: in order. A single one without a name: the records are one array of whole numbers, of its own shape;
            else they are several inputs, side by side in ``(n, width)``.
    """

    inputs: tuple[Input, ...]

    @property
    def several(self) -> bool:
        """The records are a dictionary of inputs, which plain models do not take."""
        return len(self.inputs) > 1 or bool(self.inputs[0].name)

    @property
    def width(self) -> int:
        return sum(one.width for one in self.inputs)

    def words(self) -> str:
        """The inputs in words, for messages: names, shapes and types."""
        return ", ".join(f"{one.name or 'x'} {one.dtype} {(*one.shape,)}" for one in self.inputs)

    def joined(self, other: Layout) -> Layout | None:
        """The layout of records of both, whole numbers in the wider type; None where they do not fit each other."""
        if [(one.name, one.shape) for one in self.inputs] != [(one.name, one.shape) for one in other.inputs]:
            return None
        pairs = [
            (one, np.dtype(one.dtype), np.dtype(two.dtype)) for one, two in zip(self.inputs, other.inputs, strict=True)
        ]
        if any((first.kind == "f") != (second.kind == "f") for _, first, second in pairs):
            return None
        return Layout(tuple(Input(a.name, a.shape, np.result_type(b, c).name) for a, b, c in pairs))

    def unpacked(self, x: Array) -> Array | Arrays:
        """Records as the user gave them: a dictionary of ``(n, ...)`` arrays, or one array.

        ``x``: ``(n, ...)`` as they lie; numbers that were altered and are not whole stay as they are.
        """
        if not self.several and not np.array_equal(x, np.rint(x)):
            return x
        return self.split(x, lambda part, dtype: part.astype(dtype))

    def split(self, x: Sliced, as_type: Callable[[Sliced, str], Sliced]) -> Sliced | dict[str, Sliced]:
        """The same for arrays of any library that slices and reshapes.

        Args:
            x: ``(n, ...)``. as_type: ``(part, name of the dtype) -> part``.
        """
        if not self.several:
            return as_type(x, self.inputs[0].dtype)
        ends = np.cumsum([0, *(one.width for one in self.inputs)]).tolist()
        return {
            one.name: as_type(x[:, first:last].reshape(len(x), *one.shape), one.dtype)
            for one, first, last in zip(self.inputs, ends[:-1], ends[1:], strict=True)
        }

    def packed(self, parts: Mapping[str, object], source: str) -> Floats32:
        """``(n, width)`` of further records of these inputs.

        Raises:
            DataError: an input is missing, or of another shape.
        """
        x, layout = pack([parts], source)
        if self.joined(layout) != self:  # narrower whole numbers are the same numbers
            raise DataError(
                "these records do not have the inputs of the data set",
                expected=self.words(),
                found=layout.words(),
                where=source,
            )
        return x


def pack(parts: Sequence[Mapping[str, object]], source: str) -> tuple[Floats32, Layout]:
    """Records of several inputs side by side, one part of the data under the other.

    Whole numbers stay what they are (exact up to 16,777,216), floats become float32.

    Args:
        parts: each a mapping from an input's name to ``(n, ...)`` numbers.

    Raises:
        DataError: inputs that differ in length, between parts, or are no numbers; whole numbers too large.
    """
    names = [str(name) for name in parts[0]]
    if not names or any([str(name) for name in part] != names for part in parts):
        unlike = " and ".join(", ".join(map(str, part)) or "nothing" for part in parts)
        raise DataError("the inputs of the records differ between the parts", found=unlike, where=source)
    inputs, columns = [], []
    for name in names:
        arrays = [array_of(part[name], name, source) for part in parts]
        for part, array in zip(parts, arrays, strict=True):
            first = len(array_of(part[names[0]], names[0], source)) if array.ndim else None
            if array.ndim == 0 or len(array) != first or array.shape[1:] != arrays[0].shape[1:]:
                raise DataError(
                    "the inputs of the records do not fit each other",
                    expected=f"as many records of {name} as of {names[0]}, of one shape",
                    found=" and ".join(str(one.shape) for one in arrays),
                    where=f"{source}, {name}",
                )
        joined = np.concatenate(arrays)
        inputs.append(Input(name, tuple(joined.shape[1:]), dtype_of(joined, name, source)))
        columns.append(joined.reshape(len(joined), -1).astype(np.float32))
    x = np.concatenate(columns, 1)
    if not x.shape[1]:
        raise DataError("the inputs of the records hold no numbers", where=source)
    return x, Layout(tuple(inputs))


def dtype_of(array: Array, name: str, source: str) -> str:
    """The type in which a model gets an input.

    ``array``: ``(n, ...)``.

    Raises:
        DataError: it holds no numbers, or whole ones that the way through float32 would round.
    """
    if array.dtype.kind not in "biuf":
        texts = array.dtype.kind in "OUST"
        raise DataError(
            "an input of the records is not numbers",
            found=str(array.dtype),
            where=f"{source}, {name}",
            fix="tokenise texts first: their ids are whole numbers" if texts else None,
        )
    if array.dtype.kind == "f":
        if array.size and np.nanmax(np.abs(np.where(np.isinf(array), 0, array))) > LARGEST:
            raise DataError("an input of the records is too large for float32", where=f"{source}, {name}")
        return "float32"
    if array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > EXACT:
        raise DataError(
            "an input of the records holds whole numbers that are too large to be kept exactly",
            expected=f"at most {EXACT:,}",
            found=f"{max(int(array.max()), -int(array.min())):,}",
            where=f"{source}, {name}",
            fix="number the ids that occur from 0 on (numpy.unique(ids, return_inverse=True)), or give floats",
        )
    return WIDER.get(array.dtype.name, array.dtype.name)


def gathered(arrays: Mapping[str, object]) -> Mapping[str, object]:
    """Arrays of a file named ``x.NAME`` (``x_train.NAME``, ``x_test.NAME``) as one dictionary of inputs each.

    Raises:
        DataError: an array ``x`` stands beside them.
    """
    several: dict[str, dict[str, object]] = {}
    rest: dict[str, object] = {}
    for key, value in arrays.items():
        whole, dot, name = str(key).partition(".")
        if dot and name and whole in ("x", "x_train", "x_test"):
            several.setdefault(whole, {})[name] = value
        else:
            rest[str(key)] = value
    both = [whole for whole in several if whole in rest]
    if both:
        raise DataError(
            "an array stands beside inputs of its name, and only one of both can be the records",
            found=", ".join([both[0], *(f"{both[0]}.{name}" for name in several[both[0]])]),
            fix=f"leave {both[0]} out, or name it as an input too",
        )
    return arrays if not several else rest | several
