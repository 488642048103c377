"""Random numbers that are a function of the record and a secret, so that asking again tells nothing new."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from memberwise.defences.output.base import OutputDefence
from memberwise.types.arrays import Array, Arrays, Floats

if TYPE_CHECKING:
    from memberwise.defences.output.base import Members, Rngs
    from memberwise.targets.base import Records, Target

Numbers = Floats

# Records are read in cells of this width before they are hashed. For images with values k/255 a cell holds 8 of them
# and its edges lie half a value away from the nearest: changing pixels by less than 0.0019 changes no cell.
STEP = 8 / 255
EDGE = 1 / 16
GOLDEN, FIRST, SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Source(Protocol):
    """Random numbers of ``n`` records."""

    def uniform(self, count: int, first: int = 0, rows: slice = slice(None)) -> Numbers:
        """``(n, count)`` numbers in (0, 1), from the ``first``-th on, of these rows."""
        ...


@dataclass(frozen=True)
class FromDigests:
    """The same for the same records: ``digests`` ``(n, 2)`` uint64."""

    digests: NDArray[np.uint64]

    def uniform(self, count: int, first: int = 0, rows: slice = slice(None)) -> Numbers:
        """Numbers in (0, 1) made from the digests: ``(rows, count)``, the stream's from ``first`` on."""
        return uniforms(self.digests[rows], count, first)


@dataclass(frozen=True)
class FromGenerator:
    """Fresh numbers at every question."""

    rng: np.random.Generator
    records: int

    def uniform(self, count: int, first: int = 0, rows: slice = slice(None)) -> Numbers:
        """Numbers in (0, 1) drawn one after another: ``(rows, count)``."""
        return self.rng.random((len(range(self.records)[rows]), count)).clip(2.0**-54)


class Random(OutputDefence):
    """An output defence that draws random numbers.

    Args:
        keyed: they are made from the record and the model's secret: the same record always gets the same answer, so
            averaging repeated questions gains nothing. False: fresh ones, whose mean over n questions has a standard
            deviation smaller by the square root of n; for comparison only.
        step: width of the cells in which records are read for that; wider cells stand against slightly changed copies.
    """

    keyed: bool = True
    step: Annotated[float, Field(gt=0)] = STEP

    def fit(self, target: Target, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[object] | None:
        return None if self.keyed else list(rngs)

    def sources(self, target: Target, x: Records, rngs: Sequence[Any] | None, keys: Sequence[bytes]) -> list[Source]:
        """Random numbers for each of the models whose secrets these are (or whose generators, not keyed).

        Args:
            x: ``(n, ...)`` records. rngs: of models that are not keyed. keys: the models' secrets.
        """
        if not self.keyed:
            if rngs is None:
                raise ValueError("answers that are not keyed need what fit gave")
            return [FromGenerator(rng, len(x)) for rng in rngs]
        cells = quantised(x, self.step)
        return [FromDigests(digests(cells, key, self._purpose(target))) for key in keys]

    @staticmethod
    def _purpose(target: Target) -> str:
        """By how many that draw stand before it: each noise of a chain has numbers of its own, whatever its name."""
        return f"noise {sum(isinstance(one, Random) for one in getattr(target, 'defences', ()))}"

    def pack(self, state: object) -> Arrays:
        return {}

    def unpack(self, arrays: Mapping[str, Array], rng: np.random.Generator) -> object:
        return rng


def quantised(x: Records, step: float) -> NDArray[np.int16]:
    """``(n, d)`` numbers of the cells that the records' values lie in (modulo 2**16)."""
    flat = np.clip(x.reshape(len(x), -1), -1e7, 1e7)
    return np.asarray(np.floor(flat * np.float32(1 / step) + np.float32(EDGE)).astype(np.int64), np.int16)


def digests(cells: NDArray[np.int16], key: bytes, purpose: str) -> NDArray[np.uint64]:
    """``(n, 2)`` keyed BLAKE2b of each record's cells (128 bits), apart for each purpose (at most 16 letters)."""
    start = hashlib.blake2b(digest_size=16, key=key[:64], person=purpose.encode()[:16])
    data, width = memoryview(cells.astype("<i2").tobytes()), 2 * cells.shape[1]
    parts = []
    for begin in range(0, len(cells) * width, width):
        part = start.copy()
        part.update(data[begin : begin + width])
        parts.append(part.digest())
    return np.frombuffer(b"".join(parts), "<u8").astype(np.uint64).reshape(len(cells), 2)


def uniforms(digests: NDArray[np.uint64], count: int, first: int = 0) -> Numbers:
    """``(n, count)`` numbers in (0, 1): a counter from ``first`` on, mixed with the digest as splitmix64 does.

    The secret is kept by the keyed hash; this only stretches its 128 bits.
    """
    counters = np.arange(first + 1, first + count + 1, dtype=np.uint64) * GOLDEN
    bits = _mixed(digests[:, 1:] + counters)
    bits ^= digests[:, :1]
    bits = _mixed(bits)
    bits >>= np.uint64(12)
    return np.asarray((bits + 0.5) * 2.0**-52, np.float64)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014), in place."""
    for shift, factor in ((30, FIRST), (27, SECOND)):
        bits ^= bits >> np.uint64(shift)
        bits *= factor
    bits ^= bits >> np.uint64(31)
    return bits
