"""Auxiliary records with some features changed: an attacker who knows the distribution only roughly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from memberwise.data.dataset import Dataset
from memberwise.data.roles import Roles
from memberwise.data.rows import TableRows
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.types.arrays import Array, Ints


def noisy_auxiliary(dataset: Dataset, roles: Roles, share: float, seeds: Seeds) -> tuple[Dataset, Roles]:
    """Noisy copies of the auxiliary records take their place; the records themselves are then nobody's.

    Shokri et al. 2017, section V.C: shadow models train on real records of which 10 or 20 % of the features are wrong.
    More noise makes the attacker weaker.

    Args:
        dataset: encoded. share: of each record's features, in (0, 1).

    Raises:
        StudyError: there are no auxiliary records.
    """
    if not len(roles.auxiliary):
        raise StudyError(
            "noisy shadow data are made of auxiliary records, and there are none",
            where="data.auxiliary",
            fix="--auxiliary N: about as many as members and non-members together",
        )
    rows = np.arange(dataset.records, dataset.records + len(roles.auxiliary))
    changed = with_noise(dataset.x[roles.auxiliary], share, seeds.rng("noisy shadow data"))
    units = roles.units
    if units is not None:
        units = np.r_[units, units[roles.auxiliary]]
    larger = append_records(dataset, changed, dataset.y[roles.auxiliary])
    if dataset.frame is not None:  # for models that take the table's own rows
        table = TableRows.of(dataset.frame)
        numbers = table.numbers(dataset.frame.iloc[roles.auxiliary])
        noisy = table.frame(with_noise(numbers, share, seeds.rng("noisy shadow data")))
        larger = replace(larger, frame=pd.concat([dataset.frame, noisy], ignore_index=True))
    return larger, replace(roles, auxiliary=rows, units=units)


def append_records(dataset: Dataset, x: Array, y: Ints) -> Dataset:
    """An encoded data set with further records at its end, of no group and no unit of their own.

    Args:
        x: ``(n, ...)``. y: ``(n,)`` class numbers.
    """
    more = len(y)
    groups = None if dataset.groups is None else np.r_[dataset.groups, np.repeat(dataset.groups[:1], more)]
    units = None if dataset.units is None else np.r_[dataset.units, np.repeat(dataset.units[:1], more)]
    return replace(
        dataset,
        x=np.concatenate([dataset.x, x.astype(dataset.x.dtype)]),
        y=np.concatenate([dataset.y, y]),
        groups=groups,
        units=units,
        frame=None,
        layout=None,  # what was made is not whole
    )


def append_made(dataset: Dataset, x: Array, y: Ints, as_stored: bool) -> Dataset:
    """A data set with records that were made by asking a model at its end.

    Args:
        x: ``(k, ...)`` as the model was asked: float32, or with ``as_stored`` the numbers of the table's rows.
        y: ``(k,)`` class numbers.
    """
    if not as_stored or dataset.frame is None:
        stored = np.round(255 * x) if dataset.x.dtype == np.uint8 else x
        return append_records(dataset, stored.reshape(len(x), *dataset.shape), y)
    made = TableRows.of(dataset.frame).frame(x)
    # Only the rows are trained on; the encoded numbers of these are nobody's.
    larger = append_records(dataset, np.zeros((len(x), *dataset.shape), dataset.x.dtype), y)
    return replace(larger, frame=pd.concat([dataset.frame, made], ignore_index=True))


def with_noise(x: Array, share: float, rng: np.random.Generator) -> Array:
    """Records with a random ``share`` of each one's features changed.

    A feature of two values flips; any other takes the value it has in another record, drawn at random.

    Args:
        x: ``(n, ...)``, the result's shape too. share: in (0, 1].
    """
    flat = x.reshape(len(x), -1)
    features = flat.shape[1]
    count = max(1, round(share * features))
    low, high = flat.min(0), flat.max(0)
    binary = ((flat == low) | (flat == high)).all(0)
    places = rng.random((len(flat), features)).argsort(1)[:, :count]
    rows = np.arange(len(flat))[:, None]
    drawn = flat[rng.integers(0, len(flat), places.shape), places]
    flipped = (low + high)[places] - flat[rows, places]
    changed = flat.copy()
    changed[rows, places] = np.where(binary[places], flipped, drawn)
    return changed.reshape(x.shape)
