"""What an ONNX model's inputs take: types, widths, names as exporters write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from memberwise.types.arrays import Array, DType
from memberwise.types.foreign import OnnxInput

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TYPES: dict[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({name})": name for name in WHOLE},
}
TEXTS = "tensor(string)"
# What exporters put around a name: TensorFlow's signature before it, a number of the output behind it.
AROUND = re.compile(r"^serving_default_|:\d+$")


def paired(wanted: Sequence[str], known: Iterable[str]) -> dict[str, str] | None:
    """From each wanted name to the known one that is the same, or the same but for spelling; None if one is missing."""
    exact = set(known)
    bare: dict[str, list[str]] = {}
    for name in exact:
        bare.setdefault(_bare(name), []).append(name)
    matches = {name: [name] if name in exact else bare.get(_bare(name), []) for name in wanted}
    once = all(len(names) == 1 for names in matches.values()) and len({n[0] for n in matches.values()}) == len(matches)
    return {name: names[0] for name, names in matches.items()} if once else None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "_", AROUND.sub("", name)).casefold()


def filled(widths: Sequence[int | None], whole: int) -> list[int] | None:
    """The widths, one that is free filled in, where they sum to the whole."""
    known = [width for width in widths if width is not None]
    rest = whole - sum(known)
    if len(known) < len(widths) - 1 or (len(known) == len(widths) and rest) or rest < 0:
        return None
    return None if len(known) < len(widths) and not rest else [rest if width is None else width for width in widths]


def width_of(taken: OnnxInput) -> int | None:
    """How many columns an input takes: 1 of ``(n,)``; None where that is free; 0 where it takes no rows of numbers."""
    shape = list(taken.shape or [])
    if len(shape) == 1:
        return 1
    if len(shape) != 2:
        return 0
    return shape[1] if isinstance(shape[1], int) else None


def side_by_side(parts: Sequence[Array], taken: OnnxInput) -> Array:
    """Columns beside each other, ``(n, columns)``; ``(n,)`` where the input has no second dimension."""
    columns = [part.reshape(len(part), -1) for part in parts]
    values: Array = np.concatenate(columns, axis=1)
    return values[:, 0] if len(taken.shape) == 1 else values


def cast(x: Array, dtype: DType, shades: bool) -> Array:
    """Records as another type. Integers are the nearest ones, of shades (asked as [0, 1]) those within 0..255.

    Args:
        x: ``(n, ...)``, the result's shape too. shades: integers are shades of grey.
    """
    if dtype.kind not in "iu":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    values = np.rint(x.astype(np.float64) * (255 if shades else 1))
    # As float64 the largest int64 is one too many.
    largest = info.max if info.bits < 64 else np.nextafter(float(info.max), 0)
    return values.clip(info.min, largest).astype(dtype)
