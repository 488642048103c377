"""A table's columns for an ONNX model's inputs, as they were before they were encoded: one by one or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np

from memberwise.data.columns import Column, Encoding
from memberwise.targets.base import Records
from memberwise.targets.onnx_types import TEXTS, TYPES, cast, filled, paired, side_by_side, width_of
from memberwise.types.arrays import Array, Arrays
from memberwise.types.foreign import OnnxInput

Fill = Callable[[Records], Arrays]


def columns_of(inputs: Sequence[OnnxInput], encoding: Encoding) -> dict[str, list[Column]] | None:
    """The columns that each input takes: of one column by name; what is left in the table's order, or by kind in it.

    None where that does not come out even, or a category would have to be a number.
    """
    widths = {each.name: width_of(each) for each in inputs}
    columns = {column.name: column for column in encoding.parts}
    named = {name: found[name] for name, width in widths.items() if width == 1 and (found := paired([name], columns))}
    if len(set(named.values())) < len(named) or 0 in widths.values():
        return None
    dealt = {name: [columns[column]] for name, column in named.items()}
    waiting = [each for each in inputs if each.name not in dealt]
    left = [column for column in encoding.parts if column.name not in named.values()]
    if waiting:
        counts = filled([widths[each.name] for each in waiting], len(left))
        if counts is None:
            return None
        pairs = list(zip(waiting, counts, strict=True))
        by_kind = sorted(pairs, key=lambda pair: _is_text(pair[0]))
        ways = [
            _in_turn(pairs, left),
            _in_turn(by_kind, sorted(left, key=lambda column: column.kind == "category")),
        ]
        way = next((way for way in ways if _of_kinds(way, waiting)), None)
        if way is None:
            return None
        dealt |= way
    return dealt if all(_is_text(each) or dealt[each.name][0].kind != "category" for each in inputs) else None


def _in_turn(counted: Iterable[tuple[OnnxInput, int]], columns: Sequence[Column]) -> dict[str, list[Column]]:
    """So many of the columns to each input, one after the other."""
    rest = iter(columns)
    return {each.name: list(islice(rest, count)) for each, count in counted}


def _of_kinds(dealt: dict[str, list[Column]], inputs: Sequence[OnnxInput]) -> bool:
    """Inputs of numbers get no categories, and inputs of texts nothing else."""
    return all(_is_text(each) == (one.kind == "category") for each in inputs for one in dealt[each.name])


def _is_text(taken: OnnxInput) -> bool:
    return taken.type == TEXTS


def filler(inputs: Sequence[OnnxInput], encoding: Encoding, dealt: dict[str, list[Column]]) -> Fill:
    """From encoded records to each input's columns."""

    def fill(x: Records) -> Arrays:
        frame = encoding.decode(x)
        return {
            each.name: side_by_side([_column(frame[one.name].to_numpy(), one, each) for one in dealt[each.name]], each)
            for each in inputs
        }

    return fill


def _column(values: Array, column: Column, taken: OnnxInput) -> Array:
    if taken.type in TYPES:
        return cast(values, np.dtype(TYPES[taken.type]), False)
    values = values.astype(np.int64) if column.whole else values
    return np.array(["" if v is None or v != v else str(v) for v in values], dtype=object)
