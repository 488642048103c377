"""The records of a study, each with its role, encoded and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from memberwise.auditing.prepare.inputs import Inputs
from memberwise.data import Dataset, Roles, RoleSpec, assign_roles, check_dataset, duplicates, encode, load
from memberwise.data.canaries import by_coins, make_canaries
from memberwise.data.chosen import choose_columns, membership_notes
from memberwise.data.noisy import noisy_auxiliary
from memberwise.data.rows import TableRows
from memberwise.errors import DataError, Note, StudyError
from memberwise.seeds import Seeds
from memberwise.study.schema import Study
from memberwise.types.arrays import Ints


def records_of(study: Study, inputs: Inputs, seeds: Seeds) -> tuple[Dataset, Roles, list[Note]]:
    where = study.data
    dataset = inputs.dataset or load(where.source, label=where.label, group=where.group, unit=where.unit)
    dataset = choose_columns(dataset, where.features, where.drop)
    _check_several(dataset, study)
    names = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")
    wants = {name: getattr(where, name) for name in names} | {"train_rows": study.target.train_rows} | inputs.rows
    if (study.target.given or inputs.target is not None) and wants["train_rows"] is None:
        raise StudyError(
            "a trained target needs the rows it was trained on",
            where="target.train_rows",
            fix="--train-rows FILE with all row numbers it saw (.txt or .npy)",
        )
    if wants["train_rows"] is not None and not study.target.given and inputs.target is None:
        raise StudyError(
            "training rows without a trained target", where="target.train_rows", fix="--target FILE, or --endpoint URL"
        )
    dataset, roles = assign_roles(dataset, RoleSpec(**wants), seeds)
    dataset, roles = apply_canaries_and_coins(study, wants, dataset, roles, seeds)
    dataset = _encoded(dataset, roles.fit_rows)
    if study.shadow.data == "noisy":
        dataset, roles = noisy_auxiliary(dataset, roles, study.shadow.noise, seeds)
    check_dataset(dataset, missing=True)
    notes = [*dataset.notes, *roles.caveats, *duplicates(_raw(dataset), roles.members, roles.nonmembers)]
    notes += membership_notes(dataset.x, dataset.feature_names, roles.members, roles.nonmembers)
    if roles.units is not None and len(np.unique(roles.units[roles.audited])) < len(roles.audited):
        whose, unit = len(np.unique(roles.units[roles.audited])), where.unit or "unit"
        notes.append(
            Note(
                "one-record-of-each-unit",
                f"{whose:,} of {len(roles.audited):,} audited records are evaluated, one of each {unit}: "
                "records of one unit are not independent, and intervals over all of them would be too narrow",
            )
        )
    return dataset, roles, notes


def _check_several(dataset: Dataset, study: Study) -> None:
    """Raises:
    StudyError: records of several inputs would have to be made up or changed.
    """
    made = study.canaries.count and study.canaries.kind != "mislabelled"
    if dataset.several and (made or study.shadow.data in ("noisy", "synthetic")):
        raise StudyError(
            "records of several inputs are not made up or changed here",
            found=f"canaries.kind = {study.canaries.kind}" if made else f"shadow.data = {study.shadow.data}",
            where="canaries.kind" if made else "shadow.data",
            fix='canaries.kind = "mislabelled"' if made else "auxiliary records of your own: --auxiliary N|FILE",
        )


def _raw(dataset: Dataset) -> Dataset:
    """A table's rows as they are: categories that were not seen when it was encoded all look the same."""
    if dataset.frame is None:
        return dataset
    return replace(dataset, x=TableRows.of(dataset.frame).numbers(dataset.frame))


def _encoded(dataset: Dataset, fit_rows: Ints) -> Dataset:
    """The data set encoded, missing numbers left as they are.

    Columns that cannot be encoded (free text, dates) are numbered in place, without ``feature_names``: a model that
    takes the table's own rows does without, and for any other ``auditing.prepare.representation`` refuses them.
    """
    try:
        return encode(dataset, fit_rows, missing=True)
    except DataError:
        if dataset.frame is None:
            raise
        with np.errstate(over="ignore"):  # what float32 cannot hold is what the error says
            numbers = TableRows.of(dataset.frame).numbers(dataset.frame).astype(np.float32)
        if np.isinf(numbers).any():
            raise
        return replace(dataset, x=numbers)


def apply_canaries_and_coins(
    study: Study, wants: Mapping[str, object], dataset: Dataset, roles: Roles, seeds: Seeds
) -> tuple[Dataset, Roles]:
    """Put canaries in place of the audited records, and draw the target's members by coins, where the study says so.

    Raises:
        StudyError: the target is trained already, or somebody else has chosen its members.
    """
    canaries, coins = study.canaries, study.data.coins
    if (canaries.count or coins) and wants["train_rows"] is not None:
        raise StudyError(
            "a target that is trained already cannot train on canaries, and its members are no coins drawn here",
            where="canaries.count" if canaries.count else "data.coins",
            fix="leave it out; if its members were drawn by coins, save its answers and say --outputs FILE --coins",
        )
    if coins and not isinstance(wants["members"], int | None):
        raise StudyError(
            "members are named, so they are not drawn by coins",
            where="data.members, data.coins",
            fix="a number of members",
        )
    if canaries.count:
        dataset, roles = make_canaries(dataset, roles, canaries.count, canaries.kind, canaries.source, seeds)
    return dataset, by_coins(roles, seeds) if coins else roles
