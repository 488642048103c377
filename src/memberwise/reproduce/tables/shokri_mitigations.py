"""Shokri's table of mitigations: coarser answers and L2 regularisation, each with shadow models that have it too."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Ours, Plot
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.shokri_system import ATTACK, FOUR, NAMES, SLIDES, attacked, members_of, percent, series

PLAIN = "no mitigation"
LABEL = "top 1, label"


def _answer(name: str, **options: object) -> dict[str, object]:
    return {"answer": [{"name": name, **options}]}


def _l2(strength: float) -> dict[str, object]:
    """The paper's lambda multiplies the sum of squares itself, ours half of it."""
    return {"training.defence": {"name": "l2", "strength": 2 * strength}}


ROWS: Mapping[str, Mapping[str, object]] = {
    PLAIN: {},
    "top 3": _answer("top-k", k=3),
    "top 1": _answer("top-k", k=1),
    # With nothing but labels an attack model can learn whether they are right, which is the gap attack.
    LABEL: _answer("label-only") | {"attacks.headline": "gap"},
    "rounding to 3 digits": _answer("rounding", digits=3),
    "rounding to 1 digit": _answer("rounding", digits=1),
    "temperature 5": _answer("temperature", t=5),
    "temperature 20": _answer("temperature", t=20),
    "L2 1e-4": _l2(1e-4),
    "L2 1e-3": _l2(1e-3),
    "L2 1e-2": _l2(1e-2),
}


def attack_of(setting: str) -> str:
    """The attack of a row: a class's model on full answers, or the gap attack on labels."""
    return "gap" if setting == LABEL else ATTACK


def kind_of(setting: str) -> str:
    """What a row mitigates by, whatever its strength."""
    return setting if setting in (PLAIN, LABEL) else setting.split()[0]


def mitigations(bench: Bench) -> Findings:
    """The eleven rows."""
    members = members_of(bench, bench.source)
    more: dict[str, object] = {"shadow.count": bench.pick(2, 10, 20), "training.epochs": bench.pick(10, 60, 200)}
    more |= {"attacks.use": [ATTACK, "gap", "lira-offline-fixed"]}
    runs = {s: attacked(bench, s, bench.source, members, more | dict(change)) for s, change in ROWS.items()}
    rows = []
    for setting, run in runs.items():
        why = "the gap attack: an attack model of labels can tell no more" if setting == LABEL else ""
        tolerance = None if setting == LABEL else 0.05
        rows += bench.rows(setting, run, FOUR, attack_of(setting), why, tolerance=tolerance)
        rows += bench.rows(setting, run, ["train accuracy"])
    gap = figure(runs[PLAIN], "attack accuracy", "gap")
    rows.append(bench.row(PLAIN, "attack accuracy, gap", gap))
    return Findings(tuple(rows), (_plot(bench, runs),), _notes(bench, runs))


def _plot(bench: Bench, runs: Mapping[str, Result]) -> Plot:
    """A marker for each kind of mitigation: coarser answers share their test accuracy."""
    points: dict[str, list[tuple[Ours, Ours]]] = {}
    for setting, run in runs.items():
        at, y = figure(run, "test accuracy"), figure(run, "attack accuracy", attack_of(setting))
        if at and y:
            points.setdefault(kind_of(setting), []).append((at, y))
    lines = [series(kind, [at.value for at, _ in pairs], [y for _, y in pairs]) for kind, pairs in points.items()]
    title = f"Mitigations on {NAMES[bench.source]}"
    return Plot("mitigations", title, "test accuracy", "attack accuracy", tuple(lines), kind="points")


def _notes(bench: Bench, runs: Mapping[str, Result]) -> tuple[str, ...]:
    accuracies = {s: figure(run, "attack accuracy", attack_of(s)) for s, run in runs.items()}
    coarse = [s for s in ROWS if s not in (PLAIN, LABEL) and not s.startswith("L2")]
    least = min(coarse, key=lambda s: accuracies[s].value if (accuracies[s]) else 1.0)  # type: ignore[union-attr]
    test = {s: figure(run, "test accuracy") for s, run in runs.items()}
    regularised = ", ".join(
        f"{s.removeprefix('L2 ')} {percent(accuracies[s])} at test accuracy {percent(test[s])}"
        for s in ROWS
        if "L2" in s
    )
    lira = figure(runs[PLAIN], "AUC", "lira-offline-fixed")
    t20 = figure(runs["temperature 20"], "AUC", "lira-offline-fixed")
    return (
        f"Without mitigation the attack has {percent(accuracies[PLAIN])}; coarser answers leave at least "
        f"{percent(accuracies[least])} ({least}), labels alone {percent(accuracies[LABEL])}. L2: {regularised}.",
        f"A temperature of 20 changes LiRA's AUC from {percent(lira)} to {percent(t20)}: logits are divided, not lost.",
    )


REPRODUCTIONS = (
    Reproduction(
        "shokri-mitigations",
        SLIDES,
        "eleven rows: accuracy, attack accuracy, precision, recall",
        (("purchase100", "location30"),),
        (0.5, 2, 20),
        mitigations,
    ),
)
