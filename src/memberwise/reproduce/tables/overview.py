"""The overview of attacks and mitigations: the loss attack beside LiRA, and three mitigations side by side."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import expit

from memberwise.attacks.in_out import shadows_of
from memberwise.auditing.load import signals_of_run
from memberwise.reproduce.bench import CONFIDENCE, Bench, accuracy_of, figure
from memberwise.reproduce.claim import Findings, Ours, Row
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.overview_records import (
    EXAMPLE,
    densities,
    mean_confidences,
    single_records,
)
from memberwise.types.arrays import Floats

ORIGIN = "the overview's slides"
GAIN = EXAMPLE[0] - EXAMPLE[1]
TITLES = {
    "example": "The record nearest to the overview's example",
    "separated": "The most separated record",
    "typical": "A typical record",
}
MADE_UP = "the overview's figures are an example, not a measurement; ours are of the record that comes nearest to it"


def lira(bench: Bench) -> Findings:
    """The loss attack and LiRA on one target; the scores of single records with and without them in training."""
    n = bench.pick(500, 3000, 10_000)
    result = bench.audit(
        "one target",
        {
            "data.members": n,
            "data.nonmembers": n,
            "training.epochs": bench.pick(8, 20, 20),
            "shadow.count": bench.pick(16, 64, 256),
            "attacks.use": ["loss", "lira-online", "lira-online-fixed", "gap"],
            "attacks.headline": "lira-online-fixed",
            "statistics.fpr": [0.01, 0.001],
        },
    )
    rows: list[Row] = []
    for attack in ("loss", "lira-online", "lira-online-fixed"):
        for measure in ("AUC", "TPR at 1%", "attack accuracy"):
            rows.append(bench.row(attack, measure, figure(result, measure, attack)))
    rows += bench.rows("target", result, ["train accuracy", "test accuracy"])
    kept = signals_of_run(result)[0]
    phi, trained_on = shadows_of(kept.shadows).phi[..., 0], kept.is_in
    plots = []
    for name, (setting, record) in single_records(phi, trained_on).items():
        sides = phi[trained_on[:, record] == 1, record], phi[trained_on[:, record] == 0, record]
        for measure, side in zip(("confidence with it", "confidence without it"), sides, strict=True):
            why = MADE_UP if name == "example" else ""
            rows.append(bench.row(setting, measure, _mean(expit(side), bench.seed), why, comparable=False))
        plots.append(densities(name, TITLES[name], *sides))
    loss, ratio = result.auc("loss").value, result.auc("lira-online-fixed").value
    with_it, without_it = mean_confidences(phi, trained_on)
    gain = with_it - without_it
    notes = (
        f"On one target and the same records LiRA has an AUC of {ratio:.3f}, the loss attack {loss:.3f}: what a record "
        "itself is like without being trained on is what a single threshold cannot know.",
        f"In the overview's example a record gains {100 * GAIN:.0f} points of confidence by being trained on. Here "
        f"{100 * (gain >= GAIN).mean():.1f}% of {len(gain):,} records gain as much; the median record gains "
        f"{100 * float(np.median(gain)):.1f} points.",
    )
    return Findings(tuple(rows), tuple(plots), notes)


def mitigations(bench: Bench) -> Findings:
    """Adversarial training, differential privacy and Weighted Smoothing side by side on MNIST and Location-30."""
    rows: list[Row] = []
    notes: list[str] = []
    for source in bench.data[: bench.pick(1, 2, 2)]:
        runs = {
            name: bench.audit(f"{source} {name}", _study(bench, source, defence)) for name, defence in _defences(source)
        }
        for name, run in runs.items():
            rows += bench.rows(f"{source}, {name}", run, ["train accuracy", "test accuracy"])
            for attack in ("gap", "lira-online-fixed"):
                measure = f"attack accuracy, {attack}"
                rows.append(bench.row(f"{source}, {name}", measure, figure(run, "attack accuracy", attack)))
            rows.append(bench.row(f"{source}, {name}", "AUC, LiRA", figure(run, "AUC", "lira-online-fixed")))
        auc = {name: run.auc("lira-online-fixed").value for name, run in runs.items()}
        accuracy = {name: accuracy_of(run) for name, run in runs.items()}
        text = "; ".join(f"{name} {auc[name]:.3f} at test accuracy {100 * accuracy[name]:.1f}%" for name in runs)
        notes.append(f"AUC of LiRA on {source}: {text}.")
    if any("adversarial training" in row.setting for row in rows):
        notes.append(
            "Adversarial training is a defence against changed inputs; the overview cites adversarial regularisation "
            "for it, which is another thing, and is in the table too where there are reference records."
        )
    return Findings(tuple(rows), (), tuple(notes))


def _defences(source: str) -> list[tuple[str, dict[str, object]]]:
    """Settings of each mitigation."""
    eps = 0.1 if source == "mnist" else 0.05
    return [
        ("undefended", {}),
        ("adversarial training", {"training.defence": {"name": "adversarial-training", "method": "fgsm", "eps": eps}}),
        ("adversarial regularisation", {"training.defence": {"name": "advreg"}}),
        ("DP-SGD, epsilon 8", {"training.defence": {"name": "dp-sgd", "epsilon": 8.0}}),
        ("Weighted Smoothing", {"training.defence": {"name": "weighted-smoothing"}}),
    ]


def _study(bench: Bench, source: str, defence: dict[str, object]) -> dict[str, object]:
    n = bench.pick(300, 1000, 1350) if source == "location30" else bench.pick(300, 1000, 3000)
    return {
        "data.source": source,
        "data.members": n,
        "data.nonmembers": n,
        "data.reference": n,
        "model.hidden": [256, 128] if source == "location30" else [200, 200],
        "training.epochs": bench.pick(5, 20, 30),
        "shadow.count": bench.pick(4, 8, 32),
        "attacks.use": ["gap", "loss", "lira-online-fixed"],
        "attacks.headline": "lira-online-fixed",
        **defence,
    }


def _mean(values: Floats, seed: int) -> Ours:
    """Mean over models with Student's interval."""
    mean = float(values.mean())
    spread = float(stats.t.isf((1 - CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    low, high = max(0.0, mean - spread), min(1.0, mean + spread)
    return Ours(mean, low, high, len(values), "Student's t over models", (seed,))


REPRODUCTIONS = (
    Reproduction(
        "overview-lira", ORIGIN, "loss attack and LiRA; one record's IN and OUT", (("mnist",),), (0.4, 1, 30), lira
    ),
    Reproduction(
        "overview-mitigations",
        ORIGIN,
        "adversarial training, differential privacy, Weighted Smoothing",
        (("mnist",), ("location30",)),
        (0.5, 4, 60),
        mitigations,
    ),
)
