"""Shokri's attack on networks: training size, number of shadow models and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, accuracy_of, figure
from memberwise.reproduce.claim import Findings, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.shokri_platforms import epochs_note, over_epochs, rows_of_epochs
from memberwise.reproduce.tables.shokri_system import (
    ATTACK,
    FOUR,
    MEDIAN,
    NAMES,
    PAPER,
    SLIDES,
    attacked,
    class_precision,
    median_precision,
    members_of,
    nearest,
    of_attack,
    percent,
    published_series,
    series,
)
from memberwise.signals.codec import VECTOR_MODELS

CIFAR_SIZES = {"cifar10": (2_500, 5_000, 10_000, 15_000), "cifar100": (4_600, 10_520, 19_920, 29_540)}
CIFAR = {"model.name": "shokri-cnn", "training.batch_size": 32}
GOOGLE = "the table is of Google's models, whose kind is not known; ours is the paper's own network"


def cifar_size(bench: Bench) -> Findings:
    """Precision by class against training size, with the paper's network."""
    sizes: Mapping[str, Sequence[int]] = bench.pick(
        {"cifar10": (150, 300)}, {"cifar10": CIFAR_SIZES["cifar10"][:2]}, CIFAR_SIZES
    )
    settings = CIFAR | {"shadow.count": bench.pick(2, 10, 100), "training.epochs": bench.pick(3, 15, 60)}
    why = bench.pick("", "10 shadow models, not 100; ", "") + "the paper's batch and passes are not stated"
    rows: list[Row] = []
    plots, notes = [], []
    for source, members in sizes.items():
        runs = {n: attacked(bench, f"{source} {n}", source, n, settings) for n in members}
        named = {n: f"{NAMES[source]}, {n:,} records" for n in members}
        for n, run in runs.items():
            rows.append(bench.row(named[n], MEDIAN, median_precision(run), why))
            rows += bench.rows(named[n], run, ["attack recall"], ATTACK, "the slides: almost 1")
            rows += bench.rows(named[n], run, ["train accuracy", "test accuracy", "attack accuracy"], ATTACK)
        ours = series("ours", list(runs), [median_precision(run) for run in runs.values()])
        title = f"Precision against training size, {NAMES[source]}"
        plots.append(_by_size(source, title, [ours, *published_series(bench, "published", named, MEDIAN)]))
        if source == "cifar10":
            plots.append(_by_class(runs))
        notes.append(_size_note(NAMES[source], runs))
    return Findings(tuple(rows), tuple(plots), tuple(notes))


def _by_size(source: str, title: str, lines: Sequence[Series]) -> Plot:
    return Plot(f"size-{source}", title, "records trained on", MEDIAN, tuple(lines))


def _by_class(runs: Mapping[int, Result]) -> Plot:
    lines = []
    for n, run in runs.items():
        precision = class_precision(run)
        there = np.flatnonzero(~np.isnan(precision))
        lines.append(Series(f"{n:,} records", tuple(map(float, there)), tuple(map(float, precision[there]))))
    return Plot("classes", "Precision by class, CIFAR-10", "class", "attack precision", tuple(lines), kind="points")


def _size_note(name: str, runs: Mapping[int, Result]) -> str:
    parts = [
        f"{n:,} records {percent(median_precision(run))} (train {100 * accuracy_of(run, 'train'):.0f}%, "
        f"test {100 * accuracy_of(run):.0f}%, recall {percent(of_attack(run, 'attack recall'))})"
        for n, run in runs.items()
    ]
    return f"Median precision on {name}: {', '.join(parts)}."


def shadow_count(bench: Bench) -> Findings:
    """The attack against the number of shadow models, beside LiRA's offline form, which reads them by record."""
    counts = {
        "location30": bench.pick([2, 4], [2, 4, 8, 16, 32], [2, 4, 8, 16, 32, 60]),
        "mnist": bench.pick([2], [2, 4, 8, 16], [2, 4, 8, 16, 32, 50]),
    }
    names = (ATTACK, "lira-offline-fixed")
    rows, lines, notes = [], [], []
    for source, several in counts.items():
        epochs = {"training.epochs": bench.pick(5, *((60, 100) if source == "location30" else (20, 50)))}
        more = epochs | {"attacks.use": [*names, "gap"]}
        members = members_of(bench, source)
        runs = {k: attacked(bench, f"{source} {k}", source, members, more | {"shadow.count": k}) for k in several}
        for k, run in runs.items():
            rows += bench.rows(f"{NAMES[source]}, {k} shadow models", run, FOUR[1:], ATTACK)
            rows += [
                bench.row(f"{NAMES[source]}, {k} shadow models", f"AUC, {n}", figure(run, "AUC", n)) for n in names
            ]
        rows += bench.rows(NAMES[source], runs[several[0]], ["train accuracy", "test accuracy"])
        lines += [
            series(f"{name}, {NAMES[source]}", several, [figure(run, "AUC", name) for run in runs.values()])
            for name in names
        ]
        first, last = several[0], several[-1]
        notes.append(
            f"{NAMES[source]}: attack accuracy {percent(of_attack(runs[first]))} with {first} shadow models, "
            f"{percent(of_attack(runs[last]))} with {last}."
        )
    notes.append(f"Full answers are kept of the first {VECTOR_MODELS} shadow models: {ATTACK} learns from no more.")
    title = "Attacks against the number of shadow models"
    plot = Plot("shadow-count", title, "shadow models", "AUC", tuple(lines), log_x=True)
    return Findings(tuple(rows), (plot,), tuple(notes))


def datasets(bench: Bench) -> Findings:
    """Precision on three data sets; the passes nearest to the published accuracies are compared."""
    epochs = {
        "adult": bench.pick([3], [5, 20], [5, 20, 100]),
        "mnist": bench.pick([3], [5, 10, 20], [5, 10, 20, 50]),
        "location30": bench.pick([10], [30, 60, 100], [30, 60, 100, 200]),
    }
    shadows = {"adult": bench.pick(2, 10, 20), "mnist": bench.pick(2, 10, 50), "location30": bench.pick(2, 16, 60)}
    rows, lines, notes = [], [], []
    for source, several in epochs.items():
        runs = over_epochs(bench, source, several, shadows[source])
        near = nearest(bench, NAMES[source], runs)
        why = f"{GOOGLE}, after {near} passes, where its accuracies are nearest"
        rows += bench.rows(NAMES[source], runs[near], ["train accuracy", "test accuracy"], why=why)
        rows += bench.rows(NAMES[source], runs[near], ["attack precision"], ATTACK, why, tolerance=0.05)
        rows += bench.rows(NAMES[source], runs[near], ["attack accuracy", "attack recall"], ATTACK)
        rows += rows_of_epochs(bench, f"{NAMES[source]}, ", runs)
        lines.append(series(NAMES[source], several, [of_attack(run, "attack precision") for run in runs.values()]))
        notes.append(epochs_note(NAMES[source], runs))
    plot = Plot("passes", "Precision against passes", "passes", "attack precision", tuple(lines), log_x=True)
    return Findings(tuple(rows), (plot,), tuple(notes))


REPRODUCTIONS = (
    Reproduction(
        "shokri-cifar-size",
        SLIDES,
        "precision by class against training size",
        (("cifar10",), ("cifar100",)),
        (0.5, 6, 3000),
        cifar_size,
        gpu=True,
    ),
    Reproduction(
        "shokri-shadow-count",
        SLIDES,
        "the attack against the number of shadow models",
        (("location30",), ("mnist",)),
        (0.4, 3, 20),
        shadow_count,
    ),
    Reproduction(
        "shokri-datasets",
        PAPER,
        "precision on three data sets",
        (("adult",), ("mnist",), ("location30",)),
        (0.4, 3, 30),
        datasets,
    ),
)
