"""The overview of attacks and mitigations: the loss attack beside LiRA, and three mitigations side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction

ORIGIN = "the overview's slides"
BINS = 14
MADE_UP = "the overview's figures are an example, not a measurement; ours are of the most exposed record"


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
    phi, trained_on = result.curves["worst.phi"], result.curves["worst.trained_on"]
    inside, outside = _sides(phi, trained_on, 0)
    for measure, side in (("confidence with it", inside), ("confidence without it", outside)):
        rows.append(bench.row("one record", measure, _mean(expit(side), bench.seed), MADE_UP, comparable=False))
    last = phi.shape[1] - 1
    plots = (
        _densities("exposed", "The most exposed record", *_sides(phi, trained_on, 0)),
        _densities("less-exposed", f"Number {last + 1} of the most exposed records", *_sides(phi, trained_on, last)),
    )
    loss, ratio = result.auc("loss").value, result.auc("lira-online-fixed").value
    notes = (
        f"On one target and the same records LiRA has an AUC of {ratio:.3f}, the loss attack {loss:.3f}: what a record "
        "itself is like without being trained on is what a single threshold cannot know.",
        f"The most exposed record has a confidence of {float(expit(inside).mean()):.2f} in the mean of models that saw "
        f"it and {float(expit(outside).mean()):.2f} in the mean of those that did not.",
    )
    return Findings(tuple(rows), plots, notes)


def mitigations(bench: Bench) -> Findings:
    """Adversarial training, differential privacy and Weighted Smoothing side by side on MNIST and Location-30."""
    rows: list[Row] = []
    notes: list[str] = []
    for source in bench.data[: bench.pick(1, 2, 2)]:
        runs = {name: bench.audit(f"{source} {name}", _study(bench, source, own)) for name, own in _defences(source)}
        for name, run in runs.items():
            rows += bench.rows(f"{source}, {name}", run, ["train accuracy", "test accuracy"])
            for attack in ("gap", "lira-online-fixed"):
                measure = f"attack accuracy, {attack}"
                rows.append(bench.row(f"{source}, {name}", measure, figure(run, "attack accuracy", attack)))
            rows.append(bench.row(f"{source}, {name}", "AUC, LiRA", figure(run, "AUC", "lira-online-fixed")))
        auc = {name: run.auc("lira-online-fixed").value for name, run in runs.items()}
        accuracy = {name: run.data["target"]["test_accuracy"] for name, run in runs.items()}
        told = "; ".join(f"{name} {auc[name]:.3f} at test accuracy {100 * accuracy[name]:.1f}%" for name in runs)
        notes.append(f"AUC of LiRA on {source}: {told}.")
    if any("adversarial training" in row.setting for row in rows):
        notes.append(
            "Adversarial training is a defence against changed inputs; the overview cites adversarial regularisation "
            "for it, which is another thing, and is in the table too where there are reference records."
        )
    return Findings(tuple(rows), (), tuple(notes))


def _defences(source: str) -> list[tuple[str, dict[str, Any]]]:
    """Settings of each mitigation; DP-SGD has a learning rate of its own."""
    eps = 0.1 if source == "mnist" else 0.05
    return [
        ("undefended", {}),
        ("adversarial training", {"training.defence": {"name": "adversarial-training", "method": "fgsm", "eps": eps}}),
        ("adversarial regularisation", {"training.defence": {"name": "advreg"}}),
        ("DP-SGD, epsilon 8", {"training.defence": {"name": "dp-sgd", "epsilon": 8.0}}),
        ("Weighted Smoothing", {"training.defence": {"name": "weighted-smoothing"}}),
    ]


def _study(bench: Bench, source: str, own: dict[str, Any]) -> dict[str, Any]:
    n = bench.pick(300, 1000, 1350) if source == "location30" else bench.pick(300, 1000, 3000)
    return {
        "data.source": source,
        "data.members": n,
        "data.nonmembers": n,
        "data.reference": n,
        "model.hidden": [256, 128] if source == "location30" else [200, 200],
        "training.epochs": bench.pick(5, 20, 30),
        "shadow.count": bench.pick(2, 8, 32),
        "attacks.use": ["gap", "loss", "lira-online-fixed"],
        "attacks.headline": "lira-online-fixed",
        **own,
    }


def _sides(
    phi: NDArray[np.float64], trained_on: NDArray[np.int8], record: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A record's scaled logits in the models that saw it and in those that did not."""
    own, seen = np.asarray(phi[:, record], np.float64).ravel(), np.asarray(trained_on[:, record]).ravel()
    return own[seen == 1], own[seen == 0]


def _mean(values: NDArray[np.float64], seed: int) -> Ours:
    """Mean over models with a normal interval."""
    spread = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return Ours(mean, max(0.0, mean - spread), min(1.0, mean + spread), len(values), "normal, over models", (seed,))


def _densities(name: str, title: str, inside: NDArray[np.float64], outside: NDArray[np.float64]) -> Plot:
    both = np.concatenate([inside, outside])
    edges = np.linspace(both.min(), both.max(), BINS + 1)
    series = [
        Series(label, tuple(edges.tolist()), tuple(np.histogram(side, edges, density=True)[0].tolist()))
        for label, side in (("models that saw it", inside), ("models that did not", outside))
    ]
    return Plot(name, title, "scaled logit of the true class", "density over models", tuple(series), kind="steps")


REPRODUCTIONS = (
    Reproduction(
        "overview-lira", ORIGIN, "loss attack and LiRA; one record's IN and OUT", (("mnist",),), (0.4, 2, 30), lira
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
