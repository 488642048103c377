"""Which records of the pool each world of an ensemble learns."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from memberwise.types.arrays import Mask

# Keeps these draws apart from others which are made from a job's seed.
_PURPOSE = 0x504143


def _fraction(value: object) -> object:
    """A share as a number: ``"7/8"`` is 0.875."""
    if isinstance(value, str):
        try:
            return float(Fraction(value))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{value!r} is no number or fraction such as 7/8") from None
    return value


# Of the pool, at least half of it: a number, or a fraction as text.
Share = Annotated[float, BeforeValidator(_fraction), Field(ge=0.5, lt=1)]


def left_out(worlds: int, share: float) -> int:
    """In how many of the worlds each record of the pool is left out.

    Raises:
        ValueError: not in a whole number of them.
    """
    count = worlds * (1 - share)
    if not 1 <= round(count) < worlds or abs(count - round(count)) > 1e-6:
        raise ValueError(f"a share of {share:g} leaves each record out of {count:g} of {worlds} worlds")
    return round(count)


def world_rows(rows: int, worlds: int, share: float, seed: int) -> Mask:
    """``(worlds, rows)`` true where a world learns a record: each record in ``share`` of the worlds, exactly.

    From the job's seed alone, so that game (i) can be played later. Worlds differ in size by at most as many rows as
    worlds leave a record out.

    Args:
        rows: records of the pool, by their place in ``Job.rows``. seed: of the job.

    Raises:
        ValueError: the share leaves no whole number of worlds.
    """
    return ~balanced_absences(rows, worlds, left_out(worlds, share), np.random.default_rng([seed, _PURPOSE])).T


def balanced_absences(rows: int, models: int, left_out: int, rng: np.random.Generator) -> Mask:
    """``(rows, models)`` true where a model does not see a row: ``left_out`` times in each row.

    A row's list is a random subset; over every ``models`` rows in a random order each model is left out equally often,
    so sizes differ by at most ``left_out`` rows.
    """
    turns = -(-rows // models)
    shuffled = rng.permuted(np.tile(np.arange(models), (turns, 1)), axis=1)
    places = (np.arange(models)[:, None] + np.arange(left_out)) % models
    lists = shuffled[:, places].reshape(turns * models, left_out)[:rows]
    absent = np.zeros((rows, models), bool)
    absent[rng.permutation(rows)[:, None], lists] = True
    return absent
