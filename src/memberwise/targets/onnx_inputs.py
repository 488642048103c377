"""From records to an ONNX model's inputs: whole records, inputs by name, a table's columns, features in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memberwise.data import Dataset
from memberwise.data.columns import Encoding
from memberwise.data.layout import Input, Layout
from memberwise.errors import Note, TargetError
from memberwise.targets.base import Records
from memberwise.targets.onnx_columns import Fill, columns_of, filler
from memberwise.targets.onnx_types import TYPES, WHOLE, cast, filled, paired, side_by_side, width_of
from memberwise.types.arrays import Array, Arrays
from memberwise.types.foreign import OnnxInput


@dataclass(frozen=True)
class Feed:
    """``fill(x)`` are the model's inputs by name for ``(n, ...)`` records. ``notes``: what is worth saying of that."""

    fill: Fill
    notes: tuple[Note, ...] = ()


def feed_for(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset, example: Records) -> Feed:
    """How this model is given these records.

    Args:
        example: ``(k, ...)``, a few records, by which it is told whether numbers lose their fractions on the way.

    Raises:
        TargetError: they do not fit its inputs, or could fit in more than one way.
    """
    if dataset.layout is not None and dataset.several:
        return _by_name(path, inputs, dataset, dataset.layout, example)
    if dataset.encoding is not None:
        feed = _of_table(path, inputs, dataset, dataset.encoding)
        if feed is not None:
            return feed
    elif len(inputs) > 1:
        return _in_order(path, inputs, dataset, example)
    if len(inputs) > 1 or inputs[0].type not in TYPES:
        raise _no_feed(path, inputs, dataset)
    taken = inputs[0]
    laid_out, dtype, shades = _layout(path, taken, dataset), np.dtype(TYPES[taken.type]), dataset.x.dtype == np.uint8
    notes = () if shades else _rounded(path, [(taken, example)])
    return Feed(lambda x: {taken.name: cast(laid_out(x), dtype, shades)}, notes)


def _by_name(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset, layout: Layout, example: Records) -> Feed:
    """Each input of the records into the model's input of that name, else into the only one of its shape and kind."""
    parts = {one.name: one for one in layout.inputs}
    notes: tuple[Note, ...] = ()
    pairs = paired([each.name for each in inputs], parts)
    if pairs is None:
        pairs = _by_shape(inputs, layout)
        if pairs is None:
            raise _no_feed(path, inputs, dataset)
        words = ", ".join(f"{name} gets {part}" for name, part in pairs.items())
        notes = (Note("target-inputs", f"{path} names its inputs otherwise; by shape and type {words}"),)
    if any(each.type not in TYPES for each in inputs):
        raise _no_feed(path, inputs, dataset)
    plans = []
    for each in inputs:
        part = parts[pairs[each.name]]
        laid_out = _fitted(each, part.shape)
        if laid_out is None:
            raise _no_feed(path, inputs, dataset)
        plans.append((each, part.name, laid_out))

    def fill(x: Records) -> Arrays:
        values = layout.unpacked(x)
        return {each.name: cast(to(values[part]), np.dtype(TYPES[each.type]), False) for each, part, to in plans}

    values = layout.unpacked(example)
    return Feed(fill, (*notes, *_rounded(path, [(each, values[part]) for each, part, _ in plans])))


def _by_shape(inputs: Sequence[OnnxInput], layout: Layout) -> dict[str, str] | None:
    """From each input to the one part of the records that fits it, where no other assignment does."""
    if len(inputs) != len(layout.inputs):
        return None
    fitting = {each.name: [one.name for one in layout.inputs if _fits(each, one)] for each in inputs}
    pairs: dict[str, str] = {}
    while len(pairs) < len(fitting):
        lone = [name for name, parts in fitting.items() if name not in pairs and len(parts) == 1]
        if not lone:
            return None
        pairs[lone[0]] = fitting[lone[0]][0]
        fitting = {
            name: [part for part in parts if part != pairs[lone[0]]] if name not in pairs else parts
            for name, parts in fitting.items()
        }
    return pairs


def _fits(taken: OnnxInput, part: Input) -> bool:
    """The shape fits, and both are whole numbers or both are not."""
    dtype = np.dtype(TYPES.get(taken.type, "O"))
    return (dtype.kind in "iu") == (np.dtype(part.dtype).kind in "iu") and _fitted(taken, part.shape) is not None


def _of_table(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset, encoding: Encoding) -> Feed | None:
    """A table's columns as they were before they were encoded; None where one input takes what was encoded."""
    dealt = columns_of(inputs, encoding)
    if dealt is None:
        if len(inputs) == 1 and inputs[0].type in TYPES:
            return None
        raise _no_feed(path, inputs, dataset)
    said = "the target is given the table's own columns, as they are in the data"
    if paired([each.name for each in inputs], encoding.columns) is None:
        words = (f"{name}: {', '.join(column.name for column in taken)}" for name, taken in dealt.items())
        said += f" ({'; '.join(words)})"
    return Feed(filler(inputs, encoding, dealt), (Note("target-columns", said),))


def _in_order(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset, example: Records) -> Feed:
    """The features of one array dealt out to the inputs, in their order."""
    widths = [width_of(each) for each in inputs]
    counts = filled(widths, dataset.shape[0]) if len(dataset.shape) == 1 and 0 not in widths else None
    if counts is None or any(each.type not in TYPES for each in inputs):
        raise _no_feed(path, inputs, dataset)
    ends = np.cumsum([0, *counts]).tolist()
    spans = {each.name: slice(a, b) for each, a, b in zip(inputs, ends[:-1], ends[1:], strict=True)}

    def fill(x: Records) -> Arrays:
        return {
            each.name: side_by_side([cast(x[:, spans[each.name]], np.dtype(TYPES[each.type]), False)], each)
            for each in inputs
        }

    words = ", ".join(f"{name}: {span.start}-{span.stop - 1}" for name, span in spans.items())
    message = f"{path} takes {len(inputs)} inputs; they get the records' features in order ({words})"
    rounded = _rounded(path, [(each, example[:, spans[each.name]]) for each in inputs])
    return Feed(fill, (Note("target-inputs", message), *rounded))


def described(inputs: Sequence[OnnxInput]) -> str:
    """Inputs in words: name, type, shape."""
    return "; ".join(f"{each.name}: {each.type}, shape {each.shape}" for each in inputs)


def _layout(path: Path, taken: OnnxInput, dataset: Dataset) -> Callable[[Array], Array]:
    laid_out = _fitted(taken, dataset.shape)
    if laid_out is None:
        raise _no_feed(path, [taken], dataset)
    return laid_out


def _fitted(taken: OnnxInput, shape: Sequence[int]) -> Callable[[Array], Array] | None:
    """From records of a shape to the input's: flattened, with a dimension of channels, or channels last."""
    sizes = list(taken.shape or [])[1:]
    known = [size for size in sizes if isinstance(size, int)]
    free = len(known) < len(sizes)
    if not sizes and not taken.shape:
        return lambda x: x

    def fits(candidate: Sequence[int]) -> bool:
        pairs = zip(candidate, sizes, strict=False)
        return len(candidate) == len(sizes) and all(not isinstance(b, int) or a == b for a, b in pairs)

    last = (*shape[1:], shape[0]) if shape else ()
    if fits(shape):
        return lambda x: x
    if len(shape) == 3 and fits(last):
        return lambda x: np.moveaxis(x, 1, -1)
    if len(sizes) == 1 and fits((math.prod(shape),)):
        return lambda x: x.reshape(len(x), -1)
    for candidate in ((1, *shape), (*shape, 1)):
        if fits(candidate):
            return lambda x, to=candidate: x.reshape(len(x), *to)  # type: ignore[misc]
    if not free and math.prod(known) == math.prod(shape):
        return lambda x: x.reshape(len(x), *known)
    return None


def _no_feed(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset) -> TargetError:
    """Why records cannot be put into a model's inputs."""
    what = "another type" if len(inputs) == 1 and inputs[0].type not in TYPES else "another shape"
    problem = f"the target {path} takes records of {what}"
    if len(inputs) > 1:
        problem = f"the target {path} takes {len(inputs)} inputs, and the records do not tell what goes into each"
    expected = f"one input of numbers for records of shape {dataset.shape}, or inputs that take their features in order"
    fix = "give the records as the target takes them, each input by its name: x." + ", x.".join(
        each.name for each in inputs
    )
    if dataset.layout is not None and dataset.several:
        known = [one.name for one in dataset.layout.inputs]
        missing = [f"x.{each.name}" for each in inputs if paired([each.name], known) is None]
        expected = f"inputs called {dataset.layout.words()}"
        fix = "give the records' inputs in the shapes and types of the target's"
        if missing:
            fix = f"name the records' inputs as the target's: there is no {', '.join(missing)}"
    elif dataset.encoding is not None:
        columns = dataset.encoding.columns
        texts = [column.name for column in dataset.encoding.parts if column.kind == "category"]
        expected = f"inputs for the table's {len(columns)} columns: {', '.join(columns)}"
        expected += f" (texts: {', '.join(texts)})" if texts else ""
        fix = (
            "name the columns that the target takes by --features or --drop, or give the records as it takes them "
            "(.npz, or module:function)"
        )
    elif len(inputs) == 1:
        fix = "give the records as the target takes them, or export it for these"
    return TargetError(problem, expected=expected, found=described(inputs), where="target.file", fix=fix)


def _rounded(path: Path, given: Sequence[tuple[OnnxInput, Array]]) -> tuple[Note, ...]:
    """A warning for each input of whole numbers whose records lose their fractions."""
    notes = []
    for taken, values in given:
        changed = float((np.rint(values) != values).mean()) if TYPES[taken.type] in WHOLE and values.size else 0
        if changed:
            message = (
                f"{path} takes whole numbers ({taken.name}: {taken.type}), and {changed:.0%} of the records' values "
                "are not whole: they were rounded; if the target's accuracy below is not the one you know, give the "
                "records as it takes them"
            )
            notes.append(Note("target-whole-numbers", message))
    return tuple(notes)
