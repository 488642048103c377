"""Differential privacy's price in the slides: accuracy by epsilon."""

from __future__ import annotations

from typing import Any

from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.shokri_system import NAMES, SLIDES

MEASURES = ["train accuracy", "test accuracy"]
EPSILONS = (1, 2, 4, 8)
UNSTATED = "the slides name neither the network, nor the training size, nor delta, which is 1e-5 here"


def privacy(bench: Bench) -> Findings:
    """Train and test accuracy at epsilon 1, 2, 4 and 8 and without a guarantee."""
    rows: list[Row] = []
    plots: list[Plot] = []
    for source in bench.data[: bench.pick(1, 1, 2)]:
        tests: dict[int, Ours | None] = {}
        for epsilon in bench.pick((8,), EPSILONS, EPSILONS):
            own = {"training.defence": {"name": "dp-sgd", "epsilon": float(epsilon)}}
            run = bench.audit(f"{source} epsilon {epsilon}", _study(bench, source) | own)
            setting = f"{NAMES[source]}, epsilon {epsilon}"
            rows += bench.rows(setting, run, MEASURES, why=UNSTATED)
            rows.append(bench.row(setting, "AUC, loss attack", figure(run, "AUC", "loss")))
            tests[epsilon] = figure(run, "test accuracy")
        plain = {"training.momentum": 0.9, "training.learning_rate": 0.05}
        run = bench.audit(f"{source} without", _study(bench, source) | plain)
        rows += bench.rows(f"{NAMES[source]}, without", run, MEASURES, why=UNSTATED)
        rows.append(bench.row(f"{NAMES[source]}, without", "AUC, loss attack", figure(run, "AUC", "loss")))
        plots.append(_plot(bench, source, tests))
    aucs = {
        which: [
            row.ours.value for row in rows if row.measure == "AUC, loss attack" and row.ours and (which in row.setting)
        ]
        for which in ("epsilon", "without")
    }
    notes = (
        f"The loss attack's AUC is {min(aucs['epsilon']):.3f} to {max(aucs['epsilon']):.3f} with a guarantee and "
        f"{max(aucs['without']):.3f} without.",
    )
    return Findings(tuple(rows), tuple(plots), notes)


def _study(bench: Bench, source: str) -> dict[str, Any]:
    """DP-SGD's recipe: larger batches, plain descent, a high rate."""
    common: dict[str, Any] = {
        "data.source": source,
        "data.members": bench.pick(600, 10_000, 30_000 if source == "mnist" else 25_000),
        "data.nonmembers": bench.pick(600, 10_000, 30_000 if source == "mnist" else 25_000),
        "training.epochs": bench.pick(2, 15, 40),
        "training.batch_size": 256,
        "training.learning_rate": 0.5,
        "training.momentum": 0.0,
        "training.schedule": "constant",
        "shadow.count": 2,
        "attacks.use": ["loss", "gap"],
        "attacks.headline": "loss",
    }
    return common | ({"model.hidden": [200, 200]} if source == "mnist" else {"model.name": "cnn"})


def _plot(bench: Bench, source: str, tests: dict[int, Ours | None]) -> Plot:
    there = [(epsilon, ours) for epsilon, ours in tests.items() if ours is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    ours = Series("ours", tuple(e for e, _ in there), tuple(o.value for _, o in there), lows, highs)
    found = [(e, bench.published(f"{NAMES[source]}, epsilon {e}", "test accuracy")) for e in EPSILONS]
    theirs = [(e, f.value) for e, f in found if f is not None]
    published = Series("published", tuple(e for e, _ in theirs), tuple(v for _, v in theirs), published=True)
    title = f"Test accuracy by epsilon on {NAMES[source]}"
    return Plot(f"epsilon-{source}", title, "epsilon (delta 1e-5)", "test accuracy", (ours, published), log_x=True)


REPRODUCTIONS = (
    Reproduction(
        "shokri-dp",
        SLIDES,
        "train and test accuracy by epsilon",
        (("mnist",), ("cifar10",)),
        (0.4, 3, 300),
        privacy,
    ),
)
