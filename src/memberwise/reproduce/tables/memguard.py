"""MemGuard on Location-30: the budget curve of a neural attack, and the metric attacks which it does not stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from memberwise.attacks import ATTACKS
from memberwise.report.result import Result
from memberwise.reproduce.bench import HALF, Bench, figure, share
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.kept import kept_signals
from memberwise.reproduce.reproduction import Reproduction

METRIC = ("gap", "confidence-classwise", "entropy-classwise", "mentr-classwise")
# A network on the sorted answers, of the kind MemGuard learns to fool. The publication's attacker learns on a shadow
# model without the defence; one that knows of it learns on shadow models that went through it.
ATTACK = "ml-leaks-1"
NEURAL, KNOWING = "attack accuracy, neural", "attack accuracy, neural, knows the defence"
OTHER = "another network on other records of the data set: the split of the publication is not part of its data"


def location(bench: Bench) -> Findings:
    """Budgets from 0 to 1, attacked with shadow models that went through MemGuard too, and with some that did not."""
    budgets = bench.pick([1.0], [0.1, 0.3, 0.5, 0.7, 1.0], [0.1, 0.3, 0.5, 0.7, 1.0])
    runs = {"undefended": bench.audit("undefended", _study(bench))}
    for budget in budgets:
        answer = {"name": "memguard", "budget": budget, "epochs": bench.pick(40, 200, 400)}
        runs[f"budget {budget:g}"] = bench.audit(f"budget {budget:g}", _study(bench) | {"answer": [answer]})
    unaware = {setting: _unaware(runs["undefended"], run, bench.seed) for setting, run in runs.items()}
    rows: list[Row] = []
    for setting, run in runs.items():
        rows.append(bench.row(setting, NEURAL, unaware[setting], OTHER))
        if setting != "undefended":
            rows.append(bench.row(setting, KNOWING, _accuracy(run, ATTACK)))
        rows += [bench.row(setting, name, _accuracy(run, name), OTHER) for name in METRIC]
        rows += bench.rows(setting, run, ["train accuracy", "test accuracy"])
    plain = runs["undefended"].data["target"]["test_accuracy"]
    kept = all(run.data["target"]["test_accuracy"] == plain for run in runs.values())
    last = runs[f"budget {budgets[-1]:g}"]
    blind = unaware[f"budget {budgets[-1]:g}"].value
    strongest = max(METRIC[1:], key=lambda name: _value(last, name))
    notes = (
        f"Test accuracy is {'the same at every budget: labels are kept' if kept else 'NOT the same at every budget'}.",
        f"At budget {budgets[-1]:g} the neural attack that does not know the defence has {100 * blind:.1f}%, "
        f"the one that does {100 * _value(last, ATTACK):.1f}%, the gap attack {100 * _value(last, 'gap'):.1f}%, "
        f"{strongest} {100 * _value(last, strongest):.1f}%: "
        + (
            "what labels alone give away stays."
            if _value(last, strongest) > _value(last, "gap") - 0.03
            else "no metric attack reaches the gap attack."
        ),
    )
    return Findings(tuple(rows), (_plot(bench, runs, unaware),), notes)


def _study(bench: Bench) -> dict[str, Any]:
    """The authors' sizes: 1,000 members, 1,000 for the defence, 1,000 others; their network at full size."""
    n = bench.pick(300, 1000, 1000)
    return {
        "data.members": n,
        "data.nonmembers": n,
        "data.reference": n,
        "model.hidden": bench.pick([64], [256, 128], [1024, 512, 256, 128]),
        "training.epochs": bench.pick(10, 100, 200),
        "training.learning_rate": 0.01,
        "training.schedule": "constant",
        "shadow.count": bench.pick(2, 4, 8),
        "attacks.use": [*METRIC, ATTACK, "loss", "lira-online-fixed"],
        "attacks.headline": "mentr-classwise",
    }


def _accuracy(result: Result, attack: str) -> Ours | None:
    return figure(result, "attack accuracy", attack)


def _value(result: Result, attack: str) -> float:
    found = _accuracy(result, attack)
    return float("nan") if found is None else found.value


def _unaware(plain: Result, run: Result, seed: int) -> Ours:
    """Accuracy of the neural attack that learned on undefended shadow models, on the target of this run."""
    signals = replace(kept_signals(plain), target=kept_signals(run).target)
    guessed = ATTACKS[ATTACK].score(signals, np.random.default_rng(seed)) > HALF
    places = {row: place for place, row in enumerate(run.scores["index"])}
    member = run.scores["member"].to_numpy(bool)[[places[row] for row in signals.index]]
    return share(float((guessed == member).mean()), len(member), (seed,))


def _plot(bench: Bench, runs: Mapping[str, Result], unaware: Mapping[str, Ours]) -> Plot:
    """Attack accuracy against the budget, with the published curve of the neural attack."""
    budgets = {setting: float(setting.rpartition(" ")[2]) if " " in setting else 0.0 for setting in runs}
    x = tuple(budgets.values())
    series = [_series("neural", x, list(unaware.values()))]
    for name, label in ((ATTACK, "neural, knows the defence"), *((name, name) for name in METRIC)):
        series.append(_series(label, x, [_accuracy(run, name) for run in runs.values()]))
    theirs = [(budgets[s], f.value) for s in runs if (f := bench.published(s, NEURAL))]
    published = Series("neural, published", tuple(b for b, _ in theirs), tuple(v for _, v in theirs), published=True)
    title = "MemGuard's budget on Location-30"
    return Plot("budget", title, "budget (expected change of an answer)", "attack accuracy", (*series, published))


def _series(name: str, x: tuple[float, ...], found: list[Ours | None]) -> Series:
    there = [(b, o) for b, o in zip(x, found, strict=True) if o is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    return Series(name, tuple(b for b, _ in there), tuple(o.value for _, o in there), lows, highs)


REPRODUCTIONS = (
    Reproduction(
        "memguard-location",
        "Jia et al. 2019; Song and Mittal 2021",
        "the budget curve, and metric attacks",
        (("location30",),),
        (0.5, 4, 60),
        location,
    ),
)
