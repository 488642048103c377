"""The table of signals of a finished run, as a plain object: read from its folder, without a model or an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from memberwise.assess.kept_turns import KeptTurns
from memberwise.attacks.tuning import with_temperature
from memberwise.auditing.prepare.inputs import Inputs, rows_name
from memberwise.auditing.prepare.records import records_of
from memberwise.auditing.saved import digest as digest_of
from memberwise.auditing.table import make_table
from memberwise.data import Dataset, Roles, from_object
from memberwise.data.noisy import append_made
from memberwise.errors import DataError, RunFolderError
from memberwise.report.result import Result
from memberwise.seeds import Seeds
from memberwise.signals.codec import join, vector_models
from memberwise.signals.knowledge import with_knowledge
from memberwise.signals.saved.answers import read_shadows, read_target
from memberwise.signals.saved.files import read_saved_file, saved_object
from memberwise.signals.saved.table import signals_from_saved
from memberwise.signals.steps import lift_zeros
from memberwise.signals.synthesis import BLOCK as SYNTHETIC
from memberwise.signals.table import Signals
from memberwise.store.blocks import BlockStore, block_name
from memberwise.store.folder import TURNS
from memberwise.study.reading import make_study
from memberwise.study.schema import Study
from memberwise.types.arrays import Arrays, Ints, Mask

if TYPE_CHECKING:
    import pandas as pd

    Data = Dataset | pd.DataFrame | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]
    Saved = pd.DataFrame | Mapping[str, ArrayLike]

ROLES = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary", "train_rows")
# What stands for a target that was given as an object: nobody asks it here.
ABSENT = object()
Member = Mask


def load_signals(
    folder: str | Path,
    data: Data | None = None,
    *,
    outputs: Saved | None = None,
    shadow_outputs: Saved | None = None,
    **roles: ArrayLike,
) -> Signals:
    """The table of signals of a finished run: what its attacks were computed from, and any other can be.

    What models answered is read from the run folder; which shadow model trained on which record is computed anew from
    the study and the data. No model is loaded, trained or asked. The truth about the target's members is not in the
    table; it is the column ``member`` of ``scores.csv``, whose rows stand in the order of ``index``.

    Args:
        folder: of a finished run, made by this version or one that drew the same roles.
        data: the data, where the run had them as an object (``audit(data=...)``): the same, checked by their hash.
        outputs, shadow_outputs: saved answers, where the run had them as objects.
        roles: ``members``, ``nonmembers``, ``train_rows`` and the other roles' rows, where the run had them as arrays.

    Returns:
        ``Signals`` of ``n`` audited records: ``labels`` is ``(n,)``; ``target.log_p``, ``.log_1mp`` and ``.correct``
        are ``(1, n, q)``, natural logarithms; ``shadows`` the same of ``m`` shadow models, or None; ``trained_on`` is
        ``(m, n)``, 1 IN and 0 OUT; ``turns`` are ``(m, n)`` scores by attack of each shadow model in the target's place
        (HIGHER = MORE LIKELY A MEMBER), where models took turns, else None.

    Raises:
        RunFolderError: there is no finished run, or a block of it is missing or harmed.
        DataError: the data, rows or answers are not those of the run, or were objects and are not given.

    Examples:
        >>> import memberwise as mw
        >>> signals = mw.load_signals("runs/patients")
        >>> signals.target.log_p.shape[1] == len(signals.labels)
        True
    """
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise TypeError(f"load_signals() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    result = Result.load(folder)
    study = make_study(result.data["study"], f"{folder}/result.json")
    if study.outputs.file is not None:
        signals, member = _of_saved(result, study, outputs, shadow_outputs)
    else:
        inputs = _inputs(study, data, {name: np.asarray(rows) for name, rows in roles.items()})
        signals, member = signals_of_run(result, inputs)
    seeds = Seeds(study.run.seed)
    signals = with_knowledge(lift_zeros(signals)[0], member, study.attacks, seeds, study.data.coins)
    signals, _ = with_temperature(signals, study.attacks.temperature, seeds.rng("temperature"))
    if signals.shadows is None or result.folder is None or not (result.folder / TURNS).exists():
        return signals
    evaluated = np.ones(signals.records, bool) if signals.known is None else np.isnan(signals.known)
    turns = KeptTurns(result.folder / TURNS, signals, evaluated, seeds).table(signals.shadows.models)
    return replace(signals, turns=turns or None)


def signals_of_run(result: Result, inputs: Inputs | None = None) -> tuple[Signals, Member]:
    """The table as the blocks of a run of trained models hold it, and ``(n,)`` who the target's members are.

    Args:
        inputs: what the audit was given besides its study; a target, model or attack is not needed.

    Raises:
        RunFolderError: the blocks are not there, or harmed.
        DataError: the data are not those of the run.
    """
    if result.folder is None:
        raise RunFolderError("this audit has no run folder, so no blocks to read")
    study = make_study(result.data["study"], "the audit's study")
    inputs = inputs or Inputs()
    if result.data["target"]["kind"] == "given in Python":
        inputs = replace(inputs, target=ABSENT)
    seeds = Seeds(study.run.seed)
    dataset, roles, _ = records_of(study, inputs, seeds)
    store, digest = BlockStore(result.folder / "signals"), result.data["data"]["sha256"]
    if study.shadow.data == "synthetic":
        dataset, roles = _with_made(dataset, roles, _block(store, SYNTHETIC), digest)
    _check_data(dataset.sha256, digest)
    count = int((result.data["shadow"] or {}).get("count", 0))
    shadows = _shadow_arrays(store, count, vector_models(len(roles.audited), len(dataset.outputs), count))
    target = _block(store, block_name(0))
    rows = _rows(study, roles, count, seeds)
    return make_table(dataset, roles, target, shadows, rows), roles.member


def _rows(study: Study, roles: Roles, count: int, seeds: Seeds) -> list[Ints]:
    """The rows on which each shadow model trained."""
    kind: Literal["halves", "auxiliary"] = "halves" if study.shadow.data == "halves" else "auxiliary"
    return [roles.shadow_rows(k, seeds, kind) for k in range(count)]


def _shadow_arrays(store: BlockStore, count: int, vectors: int) -> Arrays:
    """The first ``count`` shadow models' arrays; empty where there are none."""
    parts: list[Arrays] = []
    first = number = 0
    while first < count:
        number += 1
        name = block_name(number)
        arrays = _block(store, name)
        models = len(store.manifest[name]["models"])
        size = min(models, count - first)
        parts.append({part: values[:size] for part, values in arrays.items()})
        first += size
    return join(parts, vectors) if parts else {}


def _block(store: BlockStore, name: str) -> Arrays:
    entry = store.manifest.get(name)
    if entry is None:
        raise RunFolderError(f"{name} is not in the run folder", where=str(store.folder), fix="run the audit again")
    arrays, problem = store.load(name, entry["key"])
    if arrays is None:
        raise RunFolderError(f"{name} cannot be read", found=problem, where=str(store.folder))
    return arrays


def _with_made(dataset: Dataset, roles: Roles, made: Arrays, digest: str) -> tuple[Dataset, Roles]:
    """The data with the records at their end that were made by asking the target; these are the auxiliary ones."""
    x, y = made["x"], made["y"]
    larger = dataset
    for as_stored in (False, True):
        width = dataset.shape if not as_stored else () if dataset.frame is None else (dataset.frame.shape[1],)
        if x.shape[1:] == width and larger.sha256 != digest:
            larger = append_made(dataset, x, y, as_stored)
    units = roles.units
    if units is not None:
        units = np.r_[units, units.max() + 1 + np.arange(len(y))]
    return larger, replace(roles, auxiliary=np.arange(dataset.records, dataset.records + len(y)), units=units)


def _inputs(study: Study, data: Data | None, roles: dict[str, Ints]) -> Inputs:
    """The objects a run was given in place of names.

    Raises:
        DataError: the study names an object that is not given, or another one.
    """
    for name in ROLES:
        named = str(study.target.train_rows if name == "train_rows" else getattr(study.data, name))
        if named.startswith("rows-") and (name not in roles or named != rows_name(roles[name])):
            raise DataError(
                f"the rows of {name} were given in Python, as an array" + (", another one" if name in roles else ""),
                expected=f"load_signals(..., {name}=...) with the same rows",
                found=named,
            )
    where = study.data
    if data is None:
        if where.source.startswith("data-") and not Path(where.source).exists():
            raise DataError(
                "the data of this run were given in Python, as an object",
                expected="load_signals(folder, data=...) with the same data",
                found=where.source,
            )
        return Inputs(rows=dict(roles))
    columns = {"label": where.label, "group": where.group, "unit": where.unit}
    dataset = data if isinstance(data, Dataset) else from_object(data, source="data", **columns)
    return Inputs(dataset=dataset, rows=dict(roles))


def _check_data(sha256: str, stored: str) -> None:
    if sha256 != stored:
        raise DataError("these are not the data of the run", expected=f"SHA-256 {stored}", found=sha256, where="data")


def _of_saved(
    result: Result, study: Study, outputs: Saved | None, shadow_outputs: Saved | None
) -> tuple[Signals, Member]:
    """The table of a run of saved answers, and who its members are."""
    file, shadow_file = str(study.outputs.file), study.outputs.shadow_file
    arrays = _saved(file, outputs, "outputs", study.data.label)
    shadow_arrays = None if shadow_file is None else _saved(shadow_file, shadow_outputs, "shadow_outputs")
    _check_data(digest_of(arrays, shadow_arrays or {}), result.data["data"]["sha256"])
    target = read_target(arrays, file)
    shadows = None if shadow_arrays is None else read_shadows(shadow_arrays, target, shadow_file or "shadow outputs")
    if target.member is None:
        raise DataError("a target's file tells who is a member", where=file)
    return signals_from_saved(target, shadows, study.attacks.label, study.attacks.temperature), target.member


def _saved(
    file: str, answers: Saved | None, name: Literal["outputs", "shadow_outputs"], label: str | None = None
) -> Arrays:
    """The arrays of saved answers, from their file or as they are given."""
    if answers is not None:
        return saved_object(answers, name, label)
    if file == name and not Path(file).exists():
        raise DataError(
            f"the {name} of this run were given in Python, as an object",
            expected=f"load_signals(folder, {name}=...) with the same answers",
        )
    return read_saved_file(file, shadows=name == "shadow_outputs", label=label)
