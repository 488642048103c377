"""Adversarial regularisation: without and with it, against L2, and by the size of the reference set."""

from __future__ import annotations

from typing import Any

from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction

ORIGIN = "Nasr et al. 2018"
MEASURES = ["train accuracy", "test accuracy"]
ATTACK = "attack accuracy"
# Their attacker is a network like the regulariser's own; our strongest of its kind learns on defended shadow models.
NEURAL = "shokri"
NO_GPU = "CIFAR-100 rows run with --full on a GPU"
# Where Purchase-100 is not here, its place is taken by a sixth of its sizes.
SMALL, LARGE = (150, 300, 600, 1350), (1000, 5000, 10_000, 20_000, 30_000)


def table_4(bench: Bench) -> Findings:
    """Without and with adversarial regularisation."""
    rows: list[Row] = []
    notes: list[str] = []
    named = {"purchase100": "Purchase-100", "texas100": "Texas-100", "location30": "Location-30"}
    for source in dict.fromkeys(bench.data[:2]):
        rows += _pair(bench, named[source], _study(bench, source), notes)
    if bench.size == "full" and bench.data[2] == "cifar100":
        for label, model in (("AlexNet", "alexnet"), ("DenseNet", "densenet-bc-100-12")):
            rows += _pair(bench, f"CIFAR-100 {label}", _cifar(model), notes)
    return Findings((*rows, *_not_run(bench, rows)), (), tuple(notes))


def _pair(bench: Bench, label: str, study: dict[str, Any], notes: list[str]) -> list[Row]:
    rows, found = [], {}
    for name, defence in (("undefended", None), ("adversarial regularisation", {"name": "advreg"})):
        own = {"training.defence": defence} if defence else {}
        run = bench.audit(f"{label} {name}", study | own)
        setting = f"{label}, {name}"
        rows += bench.rows(setting, run, MEASURES)
        rows.append(bench.row(setting, ATTACK, figure(run, ATTACK, NEURAL)))
        rows += [bench.row(setting, f"{ATTACK}, {a}", figure(run, ATTACK, a)) for a in ("gap", "lira-online-fixed")]
        found[name] = run
    before, after = found.values()
    lost = before.data["target"]["test_accuracy"] - after.data["target"]["test_accuracy"]
    told = [
        f"{a} {100 * _value(before, a):.1f}% to {100 * _value(after, a):.1f}%" for a in (NEURAL, "lira-online-fixed")
    ]
    notes.append(f"{label}: test accuracy falls by {100 * lost:.1f} points, attack accuracy of {', of '.join(told)}.")
    return rows


def table_6(bench: Bench) -> Findings:
    """L2 factors instead."""
    rows: list[Row] = []
    settings = bench.pick([0.0, 0.005], [0.0, 0.001, 0.005, 0.01], [0.0, 0.001, 0.005, 0.01])
    told = []
    for factor in settings:
        # lambda times the sum of squares: our strength counts half of it.
        own = {"training.defence": {"name": "l2", "strength": 2 * factor}} if factor else {}
        run = bench.audit(f"L2 {factor:g}", _study(bench, bench.source) | own)
        rows += bench.rows(f"L2 {factor:g}", run, MEASURES)
        rows.append(bench.row(f"L2 {factor:g}", ATTACK, figure(run, ATTACK, NEURAL)))
        rows.append(bench.row(f"L2 {factor:g}", f"{ATTACK}, gap", figure(run, ATTACK, "gap")))
        told.append(
            f"{factor:g}: {100 * run.data['target']['test_accuracy']:.1f}% and {100 * _value(run, NEURAL):.1f}%"
        )
    notes = (
        "Test accuracy and attack accuracy by L2 factor (the slides do not say whether a half is in it): "
        + "; ".join(told)
        + ".",
    )
    return Findings(tuple(rows), (), notes)


def table_7(bench: Bench) -> Findings:
    """The size of the reference set."""
    own_data = bench.source == "purchase100"
    sizes = bench.pick((150, 300), LARGE if own_data else SMALL, LARGE if own_data else SMALL)
    rows, accuracy, attack = [], [], []
    for size in sizes:
        defence = {"training.defence": {"name": "advreg"}, "data.reference": size}
        run = bench.audit(f"reference {size}", _study(bench, bench.source) | defence)
        setting = f"{size:,} reference records"
        rows += bench.rows(setting, run, ["test accuracy"])
        rows.append(bench.row(setting, ATTACK, figure(run, ATTACK, NEURAL)))
        rows.append(bench.row(setting, f"{ATTACK}, gap", figure(run, ATTACK, "gap")))
        accuracy.append(figure(run, "test accuracy"))
        attack.append(figure(run, ATTACK, NEURAL))
    series = tuple(
        _series(name, sizes, found) for name, found in (("test accuracy", accuracy), ("attack accuracy", attack))
    )
    plot = Plot("reference", "Size of the reference set", "reference records", "accuracy", series, log_x=True)
    first, last = attack[0], attack[-1]
    notes: tuple[str, ...] = ()
    if first is not None and last is not None:
        notes = (
            f"From {sizes[0]:,} to {sizes[-1]:,} reference records the attack goes from {100 * first.value:.1f}% to "
            f"{100 * last.value:.1f}%.",
        )
    return Findings(tuple(rows), (plot,), notes)


def _study(bench: Bench, source: str) -> dict[str, Any]:
    """The publication's sizes and networks on its data; Location-30 with a network of its size."""
    common: dict[str, Any] = {
        "data.source": source,
        "attacks.use": ["gap", "loss", NEURAL, "lira-online-fixed"],
        "attacks.headline": NEURAL,
        "shadow.count": bench.pick(2, 8, 16),
    }
    if source == "location30":
        n = bench.pick(300, 1350, 1350)
        sizes = {"data.members": n, "data.nonmembers": n, "data.reference": n}
        return common | sizes | {"model.hidden": [256, 128], "training.epochs": bench.pick(5, 30, 50)}
    n, model = (19_732, "nasr-purchase") if source == "purchase100" else (10_000, "nasr-texas")
    sizes = {"data.members": n, "data.nonmembers": n, "data.reference": n}
    recipe = {"model.name": model, "training.epochs": 20, "training.batch_size": 128, "training.optimizer": "adam"}
    return common | sizes | recipe | {"training.learning_rate": 1e-3}


def _cifar(model: str) -> dict[str, Any]:
    return {
        "data.source": "cifar100",
        "data.members": 15_000,
        "data.nonmembers": 5000,
        "data.reference": 9000,
        "model.name": model,
        "training.epochs": 100,
        "training.batch_size": 100,
        "training.learning_rate": 0.05,
        "training.weight_decay": 5e-4,
        "training.schedule": "step",
        "training.steps": [20, 40],
        "shadow.count": 8,
        "attacks.use": ["gap", "loss", NEURAL, "lira-online-fixed"],
        "attacks.headline": NEURAL,
    }


def _not_run(bench: Bench, rows: list[Row]) -> list[Row]:
    """CIFAR-100's published rows where they were not run, with the reason."""
    if any(row.setting.startswith("CIFAR-100") for row in rows):
        return []
    settings = [
        f"CIFAR-100 {m}, {d}" for m in ("AlexNet", "DenseNet") for d in ("undefended", "adversarial regularisation")
    ]
    return [bench.row(setting, measure, None, NO_GPU) for setting in settings for measure in (*MEASURES, ATTACK)]


def _value(run: Any, attack: str) -> float:
    found = figure(run, ATTACK, attack)
    return float("nan") if found is None else found.value


def _series(name: str, sizes: tuple[int, ...], found: list[Ours | None]) -> Series:
    there = [(s, o) for s, o in zip(sizes, found, strict=True) if o is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    return Series(name, tuple(s for s, _ in there), tuple(o.value for _, o in there), lows, highs)


_PURCHASE = ("purchase100", "location30")
_ALL = (_PURCHASE, ("texas100", "location30"), ("cifar100",))
REPRODUCTIONS = (
    Reproduction(
        "nasr-table-4", ORIGIN, "without and with adversarial regularisation", _ALL, (0.5, 3, 900), table_4, True
    ),
    Reproduction("nasr-table-6", ORIGIN, "L2 factors instead", (_PURCHASE,), (0.3, 1, 120), table_6),
    Reproduction("nasr-table-7", ORIGIN, "the size of the reference set", (_PURCHASE,), (0.5, 4, 240), table_7),
)
