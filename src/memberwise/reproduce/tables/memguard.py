"""MemGuard on Location-30: its evaluation repeated on its saved answers and on its split, ours beside it.

The split of MemGuard's configuration, by position in its published order of the records: members 0 to 1,000, the
defence's non-members to 2,000, evaluated non-members to 3,000; the attacker's shadow model trains on 500 of the records
3,000 to 3,500 and 4,000 to 4,500. It is half as large as the target, so its thresholds are not the target's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from memberwise.attacks.thresholds import Signal
from memberwise.auditing.load import signals_of_run
from memberwise.auditing.prepare import Inputs
from memberwise.data.fetch import find_file
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, accuracy_of, records_of, share
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.memguard_attacks import (
    EPOCHS,
    METRICS,
    Known,
    by_class,
    gap,
    neural,
    right,
    saved,
    shadows_known,
)
from memberwise.signals.table import Signals
from memberwise.types.arrays import Mask

# The published attacker learns on a shadow model without the defence; one that knows of it, on one that has it too.
NEURAL, KNOWING, GAP = "attack accuracy, neural", "attack accuracy, neural, knows the defence", "attack accuracy, gap"
HALVES = "attack accuracy, {}, half the target known"
SAVED = "memguard_location/location_{}_predictions.npz"
NOT_HERE = "the answers saved by its authors are not in the data folder"
# Positions in the published order; the shadow model's records are the last two parts.
MEMBERS, REFERENCE, OTHERS, SHADOW = (0, 1000), (1000, 2000), (2000, 3000), ((3000, 3500), (4000, 4500))
LARGER = "shadow models of the target's size"


def location(bench: Bench) -> Findings:
    """The saved answers; budgets from 0 to 1 on their split; and shadow models of the target's size."""
    rows = _of_saved(bench)
    budgets = bench.pick([1.0], [0.1, 0.3, 0.5, 0.7, 1.0], [0.1, 0.3, 0.5, 0.7, 1.0])
    answers: dict[str, dict[str, object]] = {"undefended": {}} | {
        f"budget {b:g}": {"answer": [_memguard(bench, b)]} for b in budgets
    }
    runs, neurals, strongest = {}, {}, {}
    for setting, answer in answers.items():
        runs[setting] = bench.audit(setting, _study(bench) | answer, _roles(bench))
        lines, neurals[setting] = _attacked(bench, setting, runs["undefended"], runs[setting])
        rows += lines
        accuracies = {row.measure: row.ours.value for row in lines if row.ours and row.measure.endswith("by class")}
        strongest[setting] = max(accuracies.items(), key=lambda pair: pair[1])
    for setting in ("undefended", f"budget {budgets[-1]:g}"):
        halves = {"shadow.data": "halves", "shadow.count": bench.pick(2, 4, 8)}
        run = bench.audit(f"{setting}, {LARGER}", _study(bench) | answers[setting] | halves, _roles(bench, False))
        rows += _larger(bench, f"{setting}, {LARGER}", run)
    plain = accuracy_of(runs["undefended"])
    kept = all(accuracy_of(run) == plain for run in runs.values())
    last = f"budget {budgets[-1]:g}"
    floor = next(row.ours.value for row in rows if (row.setting, row.measure) == (last, GAP) and row.ours)
    notes = (
        f"Test accuracy is {'the same at every budget: labels are kept' if kept else 'NOT the same at every budget'}.",
        f"At {last} the neural attack that does not know the defence has {100 * neurals[last].value:.1f}%, the gap "
        f"attack {100 * floor:.1f}%, the strongest metric ({strongest[last][0].removeprefix('attack accuracy, ')}) "
        f"{100 * strongest[last][1]:.1f}%: "
        + (
            "what labels alone give away stays."
            if strongest[last][1] > floor - 0.03
            else "no metric attack reaches the gap attack."
        ),
    )
    return Findings(tuple(rows), (_plot(bench, runs, neurals, rows),), notes)


def _of_saved(bench: Bench) -> list[Row]:
    """Attacks on the answers that the authors saved; nothing depends on the seed but halves and the network's start."""
    files = {model: find_file(SAVED.format(model)) for model in ("target", "shadow")}
    settings = {"saved answers, undefended": False, "saved answers, budget 1": True}
    if bench.source != "location30-memguard" or None in files.values():
        pairs = [(setting, f"attack accuracy, {name}, by class") for setting in settings for name in METRICS]
        return [bench.row(setting, measure, None, NOT_HERE) for setting, measure in pairs]
    labels, rows = bench.dataset().y, list[Row]()
    draws = bench.pick(3, 50, 50)  # of the half of the target that an attacker knows
    whose = {
        "target": np.concatenate([labels[slice(*MEMBERS)], labels[slice(*OTHERS)]]),
        "shadow": np.concatenate([labels[slice(*part)] for part in SHADOW]),
    }
    blind = saved(files["shadow"], False, whose["shadow"])  # type: ignore[arg-type]
    for setting, defended in settings.items():
        target, shadow = (saved(files[m], defended, whose[m]) for m in files)  # type: ignore[arg-type]
        rows += [_exact(row) for row in _metrics(bench, setting, [shadow], target)]
        rng = np.random.default_rng(bench.seed)
        rows.append(
            _row(bench, setting, NEURAL, right(neural(blind, target, rng, _epochs(bench)), target.member), target)
        )
        for name, signal in METRICS.items():
            halves = float(np.mean([_half_known(signal, target, rng) for _ in range(draws)]))
            rows.append(_row(bench, setting, HALVES.format(name), halves, target))
    return rows


def _epochs(bench: Bench) -> int:
    """Of the neural attacker's training."""
    return bench.pick(20, EPOCHS, EPOCHS)


def _exact(row: Row) -> Row:
    """Of the very answers that the published figure is of, so that nothing but its rounding may be between them."""
    assert row.ours is not None
    value = row.ours.value
    return replace(row, ours=replace(row.ours, low=value, high=value, method="the same answers, computed again"))


def _half_known(signal: Signal, target: Known, rng: np.random.Generator) -> float:
    """The accuracy on one half of members and non-members with thresholds from the other half."""
    half = np.zeros(len(target.member), bool)
    for side in (target.member, ~target.member):
        rows = np.flatnonzero(side)
        half[rng.permutation(rows)[: len(rows) // 2]] = True
    rest = target.of(~half)
    return right(by_class(signal, [target.of(half)], rest), rest.member)


def _attacked(bench: Bench, setting: str, plain: Result, run: Result) -> tuple[list[Row], Ours]:
    """All attacks on a run on their split; thresholds are of shadow models with the run's own defence."""
    signals = signals_of_run(run, _roles(bench))[0]
    member = _member(run, signals)
    target, shadows = Known(signals.target, signals.labels, member), shadows_known(signals)
    rows = _metrics(bench, setting, shadows, target)
    blind = shadows_known(signals_of_run(plain, _roles(bench))[0])[0]
    rng = np.random.default_rng(bench.seed)
    unaware = _row(bench, setting, NEURAL, right(neural(blind, target, rng, _epochs(bench)), member), target)
    assert unaware.ours is not None
    rows.append(unaware)
    if run is not plain:
        rows.append(
            _row(bench, setting, KNOWING, right(neural(shadows[0], target, rng, _epochs(bench)), member), target)
        )
    return [*rows, *bench.rows(setting, run, ["train accuracy", "test accuracy"])], unaware.ours


def _larger(bench: Bench, setting: str, run: Result) -> list[Row]:
    """Metric attacks with thresholds of shadow models on 1,000 of the audited records each, complementary ones."""
    signals = signals_of_run(run, _roles(bench, False))[0]
    member = _member(run, signals)
    return _metrics(bench, setting, shadows_known(signals), Known(signals.target, signals.labels, member))


def _member(run: Result, signals: Signals) -> Mask:
    """``(n,)`` the target's members among the audited records, in the order of the signals."""
    places = {row: place for place, row in enumerate(run.scores["index"])}
    return run.scores["member"].to_numpy(bool)[[places[row] for row in signals.index]]


def _metrics(bench: Bench, setting: str, shadows: list[Known], target: Known) -> list[Row]:
    rows = [_row(bench, setting, GAP, gap(target), target)]
    for name, signal in METRICS.items():
        called = by_class(signal, shadows, target)
        rows.append(_row(bench, setting, f"attack accuracy, {name}, by class", right(called, target.member), target))
    return rows


def _row(bench: Bench, setting: str, measure: str, value: float, target: Known) -> Row:
    return bench.row(setting, measure, share(value, len(target.member), (bench.seed,)))


def _roles(bench: Bench, auxiliary: bool = True) -> Inputs:
    """Their positions; of other orders as many random records. A smoke test takes the first of each part."""
    n = records_of(bench.source).records
    order = np.arange(n) if bench.source == "location30-memguard" else np.random.default_rng(bench.seed).permutation(n)
    most = bench.pick(100, n, n)

    def part(start: int, end: int) -> object:
        return order[start : min(end, start + most)]

    rows = {"members": part(*MEMBERS), "nonmembers": part(*OTHERS), "reference": part(*REFERENCE)}
    if auxiliary:
        rows["auxiliary"] = np.concatenate([part(start, min(end, start + most // 2)) for start, end in SHADOW])
    return Inputs(rows=rows)


def _memguard(bench: Bench, budget: float) -> dict[str, object]:
    return {"name": "memguard", "budget": budget, "epochs": bench.pick(40, 400, 400)}


def _study(bench: Bench) -> dict[str, object]:
    """The authors' network and recipe; the shadow models' records are nobody else's."""
    return {
        "data.population": 0,
        "model.name": "memguard-location",
        "training.epochs": bench.pick(10, 200, 200),
        "training.learning_rate": 0.01,
        "training.momentum": 0.0,
        "training.batch_size": 64,
        "training.schedule": "step",
        "training.steps": bench.pick([8], [150], [150]),
        "shadow.data": "auxiliary",
        "shadow.count": 2,
        "shadow.allow_size_mismatch": True,
        "attacks.use": ["gap", "loss"],
        "attacks.headline": "gap",
    }


def _plot(bench: Bench, runs: Mapping[str, Result], neurals: Mapping[str, Ours], rows: list[Row]) -> Plot:
    """Attack accuracy against the budget, with the published curve of the neural attack."""
    budgets = {setting: float(setting.rpartition(" ")[2]) if " " in setting else 0.0 for setting in runs}
    x = tuple(budgets.values())
    figures = {(row.setting, row.measure): row.ours for row in rows}
    series = [_series("neural", x, list(neurals.values()))]
    for name in ("gap", *(f"{metric}, by class" for metric in METRICS)):
        series.append(_series(name, x, [figures.get((setting, f"attack accuracy, {name}")) for setting in runs]))
    theirs = [(budgets[s], f.value) for s in runs if (f := bench.published(s, NEURAL))]
    published = Series("neural, published", tuple(b for b, _ in theirs), tuple(v for _, v in theirs), published=True)
    title = "MemGuard's budget on Location-30"
    return Plot("budget", title, "budget (expected change of an answer)", "attack accuracy", (*series, published))


def _series(name: str, x: tuple[float, ...], figures: list[Ours | None]) -> Series:
    there = [(b, o) for b, o in zip(x, figures, strict=True) if o is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    return Series(name, tuple(b for b, _ in there), tuple(o.value for _, o in there), lows, highs)


REPRODUCTIONS = (
    Reproduction(
        "memguard-location",
        "Jia et al. 2019; Song and Mittal 2021",
        "the budget curve, and metric attacks",
        (("location30-memguard", "location30"),),
        (0.5, 15, 30),
        location,
    ),
)
