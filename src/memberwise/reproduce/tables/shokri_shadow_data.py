"""Shokri's attacker without the target's data: shadow records made by asking the target, and noisy real ones."""

from __future__ import annotations

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Plot
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.shokri_system import (
    ATTACK,
    NAMES,
    PAPER,
    SLIDES,
    attacked,
    members_of,
    of_attack,
    percent,
    published_series,
    series,
)

MEASURES = ["attack precision", "attack accuracy", "attack recall", "AUC"]


def synthesis(bench: Bench) -> Findings:
    """Real shadow records against those climbed towards the target's answers."""
    real = _run(bench, "real records")
    made = _run(bench, "synthesised records", {"shadow.data": "synthetic"}, auxiliary=False)
    rows = []
    for setting, run in (("real records", real), ("synthesised records", made)):
        rows += bench.rows(setting, run, MEASURES, ATTACK)
        rows.append(bench.row(setting, "AUC, lira-offline-fixed", figure(run, "AUC", "lira-offline-fixed")))
    rows += bench.rows("target", real, ["train accuracy", "test accuracy"])
    why = "an attacker's records from marginals need the data's marginals; shadow.data has no such way"
    rows.append(bench.row("records drawn from marginals", "attack precision", None, why))
    messages = [w.message for w in made.parts.warnings if w.code == "synthetic-shadow-data"]
    theirs = [run.parts.shadow.test_accuracy or 0.0 for run in (real, made) if run.parts.shadow]
    gap = figure(real, "attack accuracy", "gap")
    notes = (
        *(f"{message[0].upper()}{message[1:]}." for message in messages),
        f"Attack accuracy {percent(of_attack(real))} with real and {percent(of_attack(made))} with synthesised "
        f"records; the gap attack, which needs neither, has {percent(gap)}.",
        f"Shadow models' test accuracy: {100 * theirs[0]:.1f}% and {100 * theirs[1]:.1f}%.",
    )
    return Findings(tuple(rows), (), notes)


def noisy(bench: Bench) -> Findings:
    """Shadow records of which some features are wrong."""
    shares = bench.pick([0.0, 0.2], [0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4])
    settings = {share: f"{100 * share:.0f}% noise" if share else "no noise" for share in shares}
    runs = {
        share: _run(bench, setting, {"shadow.data": "noisy", "shadow.noise": share} if share else {})
        for share, setting in settings.items()
    }
    rows = []
    why = "the paper's target was Google's, whose kind is not known; ours is the paper's own network"
    for share, run in runs.items():
        rows += bench.rows(settings[share], run, MEASURES, ATTACK, why, tolerance=0.05 if not share else None)
        rows.append(bench.row(settings[share], "AUC, lira-offline-fixed", figure(run, "AUC", "lira-offline-fixed")))
    rows += bench.rows("target", runs[0.0], ["train accuracy", "test accuracy"])
    last = shares[-1]
    gap = figure(runs[0.0], "attack accuracy", "gap")
    notes = (
        f"Attack accuracy {percent(of_attack(runs[0.0]))} with clean shadow records and "
        f"{percent(of_attack(runs[last]))} with {settings[last]}; the gap attack has {percent(gap)}.",
    )
    x = tuple(100 * share for share in shares)
    precision = series("attack precision", x, [of_attack(run, "attack precision") for run in runs.values()])
    accuracy = series("attack accuracy", x, [of_attack(run) for run in runs.values()])
    lira = series("AUC, lira-offline-fixed", x, [figure(run, "AUC", "lira-offline-fixed") for run in runs.values()])
    theirs = published_series(
        bench, "attack precision, published", dict(zip(x, settings.values(), strict=True)), MEASURES[0]
    )
    title = f"Noise on shadow records, {NAMES[bench.source]}"
    plot = Plot("noise", title, "features wrong (%)", "figure", (precision, accuracy, lira, *theirs))
    return Findings(tuple(rows), (plot,), notes)


def _run(bench: Bench, label: str, settings: dict[str, object] | None = None, auxiliary: bool = True) -> Result:
    more = {
        "shadow.count": bench.pick(2, 16, 60),
        "training.epochs": 60,
        "attacks.use": [ATTACK, "gap", "lira-offline-fixed"],
    }
    members = members_of(bench, bench.source)
    return attacked(bench, label, bench.source, members, more | (settings or {}), auxiliary)


REPRODUCTIONS = (
    Reproduction(
        "shokri-synthesis",
        SLIDES,
        "shadow records made by asking the target, against real ones",
        (("purchase100", "location30"),),
        (0.3, 1, 10),
        synthesis,
    ),
    Reproduction(
        "shokri-noisy",
        PAPER,
        "noisy shadow records against clean ones",
        (("location30",),),
        (0.3, 1, 10),
        noisy,
    ),
)
