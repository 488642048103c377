"""Records made to be remembered, and memberships drawn by coins: what the worst case changes in the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from memberwise.data.append import append
from memberwise.data.dataset import Dataset
from memberwise.data.roles import Roles
from memberwise.data.sources import load
from memberwise.errors import DataError, StudyError
from memberwise.seeds import Seeds
from memberwise.types.arrays import Array, Ints, Rows

CanaryKind = Literal["mislabelled", "out-of-distribution", "near-duplicate"]

# Standard deviation of a near copy's noise, as a share of each feature's own.
NEAR = 0.02


def make_canaries(
    dataset: Dataset, roles: Roles, count: int, kind: CanaryKind, source: str | None, seeds: Seeds
) -> tuple[Dataset, Roles]:
    """Canaries in place of the audited records, which become background (Aerni, Zhang and Tramer 2024).

    * mislabelled: ``count`` audited records, drawn at random, each with a label drawn evenly from the other classes.
      They keep their row numbers.
    * out-of-distribution: records of another source, or, without one, noise: every feature drawn on its own from the
      audited records, so that it has their marginal distribution and nothing else; labels drawn evenly. Further rows.
    * near-duplicate: mislabelled canaries, and for each a near copy (every number with Gaussian noise of 2 % of its
      standard deviation) with the same wrong label, on which the target and EVERY shadow model train. It shows what a
      defence gives away which answers about a record by models that did not see it: they saw its copy.

    Half of the canaries are members of the target, the other half are not; every shadow model trains on a half, as
    on audited records. The clean records of which no canary was made are background of all models.

    Args:
        dataset: not yet encoded. roles: of the audit without canaries.
        count: even. source: as ``load`` takes it, for "out-of-distribution" only.

    Raises:
        StudyError: more canaries than records to make them of, or nobody's records to measure accuracy on.
        DataError: the other source has other features.
    """
    clean, rng = roles.audited, seeds.rng("canaries")
    if not len(np.setdiff1d(roles.test, roles.nonmembers)) and not len(roles.population):
        raise StudyError(
            "with canaries there would be no records to measure accuracy on",
            expected="a population, or a source with a test part",
            where="data.population",
            fix="--population 500",
        )
    of_source = None if source is None else _of_source(dataset, source)
    available = len(clean) if of_source is None else of_source.records
    if count > available:
        raise StudyError(
            "there are not so many records to make canaries of",
            expected=f"at most {available:,}",
            found=f"{count:,}",
            where="canaries.count",
        )
    chosen, copies = np.sort(rng.permutation(available)[:count]), np.zeros(0, np.int64)
    if kind == "out-of-distribution":
        more = _noise(dataset, clean, count, rng) if of_source is None else _rows(of_source, chosen)
        labels = rng.integers(0, len(dataset.classes), count)
        dataset, canaries = _appended(dataset, more, labels)
    else:
        canaries = clean[chosen]
        y = dataset.y.copy()
        y[canaries] = (y[canaries] + rng.integers(1, len(dataset.classes), count)) % len(dataset.classes)
        dataset = replace(dataset, y=y)
        if kind == "near-duplicate":
            near = _near(_rows(dataset, canaries), _rows(dataset, clean), rng)
            dataset, copies = _appended(dataset, near, y[canaries])
    members = np.sort(rng.permutation(canaries)[: count // 2])
    test = np.setdiff1d(roles.test, roles.nonmembers)
    units = roles.units
    if units is not None:  # rows that were added are on their own, and so is every canary
        units = np.r_[units, units.max() + 1 + np.arange(dataset.records - len(units))]
        units[canaries] = units.max() + 1 + np.arange(count)
    return dataset, replace(
        roles,
        members=members,
        nonmembers=np.setdiff1d(canaries, members),
        paired=canaries,
        surplus_nonmembers=np.zeros(0, np.int64),
        background=np.sort(np.concatenate([roles.background, np.setdiff1d(clean, canaries), copies])),
        test=test if len(test) else roles.population,
        units=units,
    )


def by_coins(roles: Roles, seeds: Seeds) -> Roles:
    """The target's members drawn by an independent fair coin for each audited record (each unit, where there are some).

    Shadow models go on splitting all audited records in halves; the target may train on a few more or fewer.
    """
    rng, audited = seeds.rng("coins"), roles.audited
    units = np.arange(len(audited)) if roles.units is None else np.unique(roles.units[audited], return_inverse=True)[1]
    member = (rng.random(int(units.max()) + 1) < 0.5)[units]
    members, nonmembers = audited[member], audited[~member]
    return replace(
        roles,
        members=members,
        nonmembers=nonmembers,
        paired=audited,
        surplus_nonmembers=np.zeros(0, np.int64),
        test=nonmembers if np.isin(roles.test, audited).any() else roles.test,
    )


def _of_source(dataset: Dataset, source: str) -> Dataset:
    """The records of another source with the data set's features, ready to be appended."""
    other = load(source, label=None)
    if dataset.frame is None and other.frame is None and other.x.dtype != dataset.x.dtype:
        if dataset.x.dtype == np.uint8:
            raise DataError("the canaries are not images of bytes", found=str(other.x.dtype), where="canaries.source")
        other = replace(other, x=other.x.astype(np.float32) / np.float32(255))
    return other


def _rows(dataset: Dataset, rows: Rows) -> Dataset:
    """Some rows of a data set."""
    frame = None if dataset.frame is None else dataset.frame.iloc[rows].reset_index(drop=True)
    return replace(dataset, x=dataset.x[rows], y=dataset.y[rows], frame=frame, test=None)


def _appended(dataset: Dataset, more: Dataset, labels: Ints) -> tuple[Dataset, Rows]:
    """The data set with further records, and their row numbers; they are a group, and each a unit, of their own."""
    names = np.array([f"canary-{i}" for i in range(more.records)])
    more = replace(
        more,
        y=labels,
        groups=None if dataset.groups is None else np.full(more.records, "canary"),
        units=None if dataset.units is None else names,
        source="canaries",
    )
    return append(dataset, more), np.arange(dataset.records, dataset.records + more.records)


def _noise(dataset: Dataset, clean: Rows, count: int, rng: np.random.Generator) -> Dataset:
    """``count`` records of which every feature is drawn on its own from the clean records."""
    if dataset.frame is not None:
        columns = {name: column.iloc[rng.choice(clean, count)].to_numpy() for name, column in dataset.frame.items()}
        frame = pd.DataFrame(columns).astype(dataset.frame.dtypes)
        return replace(dataset, x=np.zeros((count, 0), dataset.x.dtype), y=np.zeros(count, np.int64), frame=frame)
    flat = dataset.x.reshape(dataset.records, -1)
    drawn = flat[rng.choice(clean, (count, flat.shape[1])), np.arange(flat.shape[1])]
    return replace(dataset, x=drawn.reshape(count, *dataset.shape), y=np.zeros(count, np.int64))


def _near(canaries: Dataset, clean: Dataset, rng: np.random.Generator) -> Dataset:
    """The canaries with a little noise on every number; categories stay."""
    if canaries.frame is not None and clean.frame is not None:
        frame = canaries.frame.copy()
        for name in frame.select_dtypes("number").columns:
            spread = NEAR * float(clean.frame[name].std())
            frame[name] = frame[name].astype(float) + rng.normal(0.0, spread, len(frame))
        return replace(canaries, frame=frame)
    noise: Array = rng.normal(size=canaries.x.shape) * (NEAR * clean.x.std(0, dtype=np.float64))
    near = canaries.x + noise
    if canaries.x.dtype == np.uint8:
        near = np.clip(np.round(near), 0, 255)
    return replace(canaries, x=near.astype(canaries.x.dtype), layout=None)
