"""Recipes chosen on validation records, which are nobody's members and not audited; tuned once for all seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.auditing.target import target_key
from memberwise.data import Dataset
from memberwise.data.roles import without
from memberwise.reproduce.bench import Bench, records_of
from memberwise.signals.ask import ask_about
from memberwise.store.files import to_json, write_text
from memberwise.types.parts import Plain

# Fixes which records are for validation, and who the members of a tuning run are; seeds of audits begin at 1.
SEED = 0


@dataclass(frozen=True)
class Tuned:
    """What came out: the settings, their accuracy on validation records, and everything that was tried."""

    settings: Plain
    accuracy: float
    tried: dict[str, float]


def roles(dataset: Dataset, members: int, nonmembers: int, validation: int, seed: int) -> Plain:
    """Random rows by role, none of them of the source's test part; validation rows are the same for every seed."""
    rows = np.arange(dataset.records)
    rows = rows if dataset.test is None else without(rows, dataset.test)
    order = np.random.default_rng(SEED).permutation(rows)
    held_out, rest = order[:validation], np.sort(order[validation:])
    rest = np.random.default_rng([SEED, seed]).permutation(rest)
    return {"members": rest[:members], "nonmembers": rest[members : members + nonmembers], "validation": held_out}


def tune(
    bench: Bench, label: str, settings: Mapping[str, object], coordinates: Sequence[Sequence[Mapping[str, object]]]
) -> Tuned:
    """The best settings on validation records, one coordinate after the other, from the first of each.

    Args:
        settings: dotted keys of the study, ``data.members``, ``data.nonmembers`` and ``data.validation`` among them.
        coordinates: for each what is tried, as dotted keys to be merged into the settings; of equals the first.
    """
    choice: Plain = {}
    for options in coordinates:
        choice = merged(choice, options[0])
    tried: dict[str, float] = {}
    best = 0.0
    for options in coordinates:
        scores = []
        for option in options:
            trial = merged(choice, option)
            name = json.dumps(trial, sort_keys=True)
            if name not in tried:
                tried[name] = _accuracy(bench, f"{label} {len(tried) + 1}", merged(settings, trial))
            scores.append(tried[name])
        best = max(scores)
        choice = merged(choice, options[scores.index(best)])
    return Tuned(choice, best, tried)


def merged(settings: Mapping[str, object], more: Mapping[str, object]) -> Plain:
    """Both; options of a training defence are merged key by key."""
    out = dict(settings)
    for key, value in more.items():
        before = out.get(key)
        out[key] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return out


def _accuracy(bench: Bench, label: str, settings: Mapping[str, object]) -> float:
    """Of one model on the validation records; read where the same was trained before."""
    study = bench.study(label, dict(settings) | {"run.seed": SEED})
    dataset, where = records_of(study.data.source), study.data
    members, nonmembers, validation = (int(str(count)) for count in (where.members, where.nonmembers, where.validation))
    rows = roles(dataset, members, nonmembers, validation, SEED)
    prepared = prepare(resolve(study), Inputs(dataset=dataset, rows=rows))
    file = bench.folder.parent / "tuning" / f"{target_key(prepared)[:16]}.json"
    if file.exists():
        return float(json.loads(file.read_text("utf-8"))["accuracy"])
    bench.announce(f"tuning: {label}")
    models = prepared.target_trainer.train([prepared.target_job])
    accuracy = float(ask_about(models, prepared.questions, np.sort(rows["validation"]), "none", False).correct.mean())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_json({"label": label, "settings": dict(settings), "accuracy": accuracy}))
    return accuracy
