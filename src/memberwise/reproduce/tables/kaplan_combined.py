"""Kaplan's three techniques together, and the slides' future work on CIFAR-10."""

from __future__ import annotations

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, accuracy_of, figure
from memberwise.reproduce.claim import Findings
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.kaplan_system import (
    CLIP,
    DEVIATION,
    IMAGE,
    MIXED,
    NOISE,
    ORIGIN,
    SEARCHED,
    SHARE,
    UNSTATED,
    searched,
    system,
    three,
)
from memberwise.types.parts import Plain


def combined(bench: Bench) -> Findings:
    """All three, at the slides' ranges, in every reading of them."""
    setting = "clipping 1, image 0.5, confidence 15"
    base = system(bench, "undefended")
    answers = dict(list(_readings().items())[:: bench.pick(5, 1, 1)])
    runs = {label: system(bench, label, answer=answer) for label, answer in answers.items()}
    near = min(runs, key=lambda label: _distance(bench, setting, runs[label]))
    why = f"nearest of the readings: {near}"
    rows = bench.rows(setting, runs[near], ["test accuracy"], why=why, tolerance=0.015)
    rows.append(bench.row(setting, SEARCHED, searched(runs[near]), UNSTATED))
    rows.append(bench.row(setting, MIXED, searched(runs[near], SHARE), why, beside=SEARCHED, tolerance=0.01))
    for label, run in {"undefended": base, **runs}.items():
        rows += three(bench, label, run)
    gap = max(ours.value for run in runs.values() if (ours := figure(run, "attack accuracy", "gap")))
    notes = [
        f"Of {len(runs)} readings of the slides, {near} comes nearest to both figures: test accuracy "
        f"{100 * accuracy_of(runs[near]):.1f}%, adversary {100 * searched(runs[near], SHARE).value:.1f}% on 56 "
        "members to 44 non-members, where calling every record a member gives 56.0%; on as many of each "
        f"{100 * searched(runs[near]).value:.1f}%.",
        f"The gap attack, which needs labels alone, has up to {100 * gap:.1f}% under the combination.",
    ]
    return Findings(tuple(rows), (), tuple(notes))


def _readings() -> dict[str, list[Plain]]:
    """The combination as the slides may mean it: which unit the image's range has, and who shares a draw.

    One draw a score makes labels random unless the label is taken before, or kept.
    """
    images = {
        f"image {draw} draw in units of {unit}": {"name": IMAGE, "r": 0.5 * scale, "draw": draw}
        for unit, scale in (("[0, 1]", 1.0), ("a standard deviation", DEVIATION))
        for draw in ("shared", "pixel")
    }
    noises: dict[str, Plain] = {
        "confidence shared": {"name": NOISE, "r": 15.0, "draw": "shared"},
        "confidence a score, label kept": {"name": NOISE, "r": 15.0, "draw": "each", "keep_label": True},
    }
    rescaled: Plain = {"name": CLIP, "r": 1.0, "mode": "rescale"}
    readings = {f"{i}, {n}": [image, rescaled, noise] for n, noise in noises.items() for i, image in images.items()}
    first = next(iter(images.values()))
    readings["confidence a score, label not kept"] = [first, rescaled, {"name": NOISE, "r": 15.0, "draw": "each"}]
    readings["logits cut off, not rescaled"] = [first, {**rescaled, "mode": "clip"}, noises["confidence shared"]]
    return readings


def _distance(bench: Bench, setting: str, run: Result) -> float:
    """How far a run is from the slides' accuracy and adversary, together."""
    accuracy, adversary = bench.published(setting, "test accuracy"), bench.published(setting, SEARCHED)
    assert accuracy is not None
    assert adversary is not None
    return abs(accuracy_of(run) - accuracy.value) + abs(searched(run, SHARE).value - adversary.value)


def cifar10(bench: Bench) -> Findings:
    """The slides' future work: the same on CIFAR-10, with mixup and with a regularising loss term."""
    shape: Plain = {
        "model.name": "cnn",
        "data.members": bench.pick(600, 2500, 15000),
        "data.nonmembers": bench.pick(600, 2500, 15000),
        "training.epochs": bench.pick(3, 15, 50),
        "training.learning_rate": 0.02,
    }
    answers: dict[str, list[Plain]] = {
        "regularisation 1": [{"name": CLIP, "r": 1.0, "mode": "rescale"}],
        "image 0.1": [{"name": IMAGE, "r": 0.1}],
        "confidence 15": [{"name": NOISE, "r": 15.0, "draw": "shared"}],
        "combined": [
            {"name": IMAGE, "r": 0.1},
            {"name": CLIP, "r": 1.0, "mode": "rescale"},
            {"name": NOISE, "r": 15.0, "draw": "shared"},
        ],
    }
    defences = {"mixup": "mixup", "confidence penalty": "confidence-penalty", "L2": "l2"}
    runs = {"undefended": system(bench, "undefended", **shape)}
    for label, answer in answers.items():
        runs[label] = system(bench, label, answer=answer, **shape)
    for label, name in list(defences.items())[: bench.pick(1, 3, 3)]:
        runs[label] = system(bench, label, **shape | {"training.defence": {"name": name}})
    rows = [row for label, run in runs.items() for row in three(bench, label, run)]
    plain = runs["undefended"]
    lost = {label: accuracy_of(plain) - accuracy_of(run) for label, run in runs.items() if run is not plain}
    costs = ", ".join(
        f"{label} {100 * searched(runs[label]).value:.1f}% for {100 * lost[label]:.1f} points" for label in lost
    )
    notes = [
        f"Undefended the model has {100 * accuracy_of(plain, 'train'):.1f}% on its training records and "
        f"{100 * accuracy_of(plain):.1f}% on others, and the adversary (searched, as many members as non-members) "
        f"{100 * searched(plain).value:.1f}%. Defended, and for how much test accuracy: {costs}."
    ]
    return Findings(tuple(rows), (), tuple(notes))


FUTURE = "its future work: CIFAR-10, mixup, a regularising loss"
REPRODUCTIONS = (
    Reproduction("kaplan-combined", ORIGIN, "the three at r = 1, 0.5 and 15", (("mnist",),), (0.3, 1, 1), combined),
    Reproduction("kaplan-cifar10", ORIGIN, FUTURE, (("cifar10",),), (0.5, 5, 120), cifar10),
)
