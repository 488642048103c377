"""Weighted Smoothing: its trade-off beside DP-SGD's, and the ablation of where its noise goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memberwise.auditing.prepare import Inputs
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, accuracy_of, figure, learnt, records_of
from memberwise.reproduce.claim import Condition, Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tuning import merged, roles, tune
from memberwise.types.parts import Plain

ORIGIN = "Tan et al. 2023"
ACCURACY = "attack accuracy"
LIRA = "lira-online-fixed"
# The slides' four attacks by our names.
ATTACKS = {
    "shokri": "shadow network",
    "privacy-risk-score": "privacy risk score",
    "confidence": "confidence",
    LIRA: "LiRA",
}
# Of test accuracy, in the comparison told in words, and where a curve may begin.
ALLOWED, NEAR = 0.1, 0.05
PICTURES = "the slides draw their curves without numbers"
PLAIN, SMOOTHING, DP = "undefended", "Weighted Smoothing", "DP-SGD"
# Tried for each point on validation records; clipped and noisy gradients take larger steps.
RATES = {PLAIN: (0.05, 0.1, 0.02), SMOOTHING: (0.05, 0.1, 0.02), DP: (0.3, 1.0, 0.1)}
# Networks on images at full size; normalised by groups, because DP-SGD cannot train BatchNorm and all methods are to
# have one network.
NETWORKS = ("densenet-bc-22-12-group", "resnet20-group")


@dataclass(frozen=True)
class Case:
    """A data set with a network: ``name`` in rows and plots, and the study's settings."""

    name: str
    settings: Mapping[str, object]


def tradeoff(bench: Bench) -> Findings:
    """Accuracy lost against attack accuracy, by strength, for Weighted Smoothing and DP-SGD."""
    rows: list[Row] = []
    plots: list[Plot] = []
    notes: list[str] = []
    conditions: list[Condition] = []
    for case in _cases(bench):
        runs = {
            method: {label: _audited(bench, case, method, label, point) for label, point in points.items()}
            for method, points in _points(bench, case).items()
        }
        [base] = runs.pop(PLAIN).values()
        for label, run in {PLAIN: base, **{k: run for curve in runs.values() for k, run in curve.items()}}.items():
            rows += _lines(bench, f"{case.name}, {label}", run)
        sound = _sound(case, base, runs)
        conditions += sound
        plots += [_plot(case.name, attack, base, runs) for attack in ATTACKS]
        if all(condition.holds for condition in sound):
            notes.append(_cheapest(case.name, base, runs))
        notes.append(_mildest(case.name, base, runs))
    notes.append(f"Nothing is compared with the slides: {PICTURES}.")
    return Findings(tuple(rows), tuple(plots), tuple(notes), tuple(conditions))


def _sound(case: Case, base: Result, runs: Mapping[str, Mapping[str, Result]]) -> list[Condition]:
    """Curves can be compared where each begins at a model that has learnt, and near the undefended one."""
    rows = (f"{case.name}, ",)
    conditions = [learnt(f"{case.name}: the undefended model has learnt", base, rows)]
    for method, curve in runs.items():
        mildest = next(iter(curve.values()))
        conditions.append(learnt(f"{case.name}: {method} has learnt at its mildest strength", mildest, rows))
        lost = _lost(base, mildest)
        name = f"{case.name}: {method} begins within {100 * NEAR:.0f} points of the undefended model"
        conditions.append(Condition(name, lost <= NEAR, f"test accuracy lost {100 * lost:.1f} points", rows))
    return conditions


def _mildest(name: str, base: Result, runs: Mapping[str, Mapping[str, Result]]) -> str:
    """Where each grid begins, and what undefended costs."""
    losses = []
    for curve in runs.values():
        label, run = next(iter(curve.items()))
        losses.append(f"{label} {100 * _lost(base, run):+.1f}")
    accuracy = 100 * accuracy_of(base)
    return (
        f"{name}, undefended test accuracy {accuracy:.1f}%; points of it lost where grids begin: {', '.join(losses)}."
    )


def _audited(bench: Bench, case: Case, method: str, label: str, point: Mapping[str, object]) -> Result:
    """One point of a curve, at the rate that is best for it on validation records."""
    settings = merged(case.settings, point)
    rates = RATES[method][: bench.pick(1, 3, 3)]
    tuned = tune(bench, f"{case.name} {label}", settings, [[{"training.learning_rate": rate} for rate in rates]])
    settings |= tuned.settings
    counts = (settings["data.members"], settings["data.nonmembers"], settings["data.validation"])
    inputs = Inputs(rows=roles(records_of(str(settings["data.source"])), *counts, bench.seed))
    return bench.audit(f"{case.name} {label}", settings, inputs)


def _plot(source: str, attack: str, base: Result, runs: Mapping[str, Mapping[str, Result]]) -> Plot:
    """One attack's curves, as on the slides."""
    series = [
        _series(
            name,
            [_lost(base, run) for run in curve.values()],
            [figure(run, ACCURACY, attack) for run in curve.values()],
        )
        for name, curve in ({"undefended": {"": base}} | dict(runs)).items()
    ]
    title = f"Accuracy lost against attack on {source}: {ATTACKS[attack]}"
    return Plot(
        f"{source}-{attack}".replace(" ", "-"), title, "test accuracy lost", ACCURACY, tuple(series), kind="points"
    )


def _cheapest(source: str, base: Result, runs: Mapping[str, Mapping[str, Result]]) -> str:
    """The lowest attack accuracy within the loss of accuracy that is allowed, a defence and attack."""
    lines = []
    for name, curve in runs.items():
        allowed = [run for run in curve.values() if _lost(base, run) <= ALLOWED]
        best = {a: min((o.value for run in allowed if (o := figure(run, ACCURACY, a))), default=None) for a in ATTACKS}
        listed = ", ".join(f"{ATTACKS[a]} {100 * value:.1f}%" for a, value in best.items() if value is not None)
        lines.append(f"{name}: {listed or 'no strength costs so little'}")
    figures = {a: figure(base, ACCURACY, a) for a in ("gap", *ATTACKS)}
    plain = ", ".join(f"{ATTACKS.get(a, a)} {100 * o.value:.1f}%" for a, o in figures.items() if o)
    return (
        f"{source}, undefended: {plain}. Lowest attack accuracy for at most {100 * ALLOWED:.0f} points of test "
        f"accuracy, over strengths, by attack: {'; '.join(lines)}."
    )


def _points(bench: Bench, case: Case) -> dict[str, dict[str, Plain]]:
    """Strengths of each method from where nothing is lost; noise near 1 / classes lets nothing be learnt."""
    many = [1e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.2]
    sigmas = bench.pick([1e-3], [1e-3, 0.01, 0.03, 0.1], many)
    noises = bench.pick([0.1], [0.01, 0.1, 0.5, 1.0], [0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0])
    if bench.size != "smoke" and case.settings["data.source"] != "location30":
        sigmas, noises = [1e-4, 1e-3, 5e-3, 0.02], [0.01, 0.1, 0.5]
    return {
        PLAIN: {PLAIN: {}},
        SMOOTHING: {
            f"{SMOOTHING}, sigma {s:g}": {"training.defence": {"name": "weighted-smoothing", "sigma": s}}
            for s in sigmas
        },
        DP: {f"{DP}, noise {z:g}": {"training.defence": {"name": "dp-sgd", "noise_multiplier": z}} for z in noises},
    }


def _cases(bench: Bench) -> list[Case]:
    """Each data set once, images at full size with each network."""
    cases = []
    for source in dict.fromkeys(bench.data[: bench.pick(1, 3, len(bench.data))]):
        settings = _study(bench, source)
        if bench.size == "full" and "model.name" not in settings and "model.hidden" not in settings:
            cases += [Case(f"{source} {network}", settings | {"model.name": network}) for network in NETWORKS]
        else:
            cases.append(Case(source, settings))
    return cases


# Settings of each variant and the strengths it is run at: every position of the noise has a scale of its own.
VARIANTS: dict[str, tuple[Plain, tuple[float, ...]]] = {
    "on the prediction, by class": ({}, (0.05, 0.1)),
    "on the logits": ({"position": "logits"}, (5.0, 20.0)),
    "on the gradient": ({"position": "gradient"}, (0.03, 0.1)),
    "weights over all records": ({"normalisation": "global"}, (0.03, 0.05)),
    "weights not normalised": ({"normalisation": "none"}, (0.02, 0.05)),
    "as released": ({"gap_scaling": True, "projection": True}, (0.003, 0.01)),
}


def ablation(bench: Bench) -> Findings:
    """Noise on the prediction, the logits or the gradient; weights by class, over all records, or as they are."""
    base = bench.audit("undefended", _study(bench, bench.source))
    runs: dict[str, dict[str, Result]] = {}
    for variant, (options, sigmas) in list(VARIANTS.items())[: bench.pick(2, 6, 6)]:
        runs[variant] = {}
        for sigma in sigmas[: bench.pick(1, 2, 2)]:
            defence = {"training.defence": {"name": "weighted-smoothing", "sigma": sigma} | options}
            label = f"{variant}, sigma {sigma:g}"
            runs[variant][label] = bench.audit(label, _study(bench, bench.source) | defence)
    rows = _lines(bench, "undefended", base)
    conditions = [learnt("the undefended model has learnt", base, [])]
    costs = []
    for variant, curve in runs.items():
        mildest = next(iter(curve.values()))
        conditions.append(learnt(f"{variant}: the model has learnt at the mildest strength", mildest, [variant]))
        for label, run in curve.items():
            rows += _lines(bench, label, run)
        lost = " and ".join(f"{_strongest(run)} for {100 * _lost(base, run):.1f} points" for run in curve.values())
        costs.append(f"{variant} {lost}")
    notes = (
        "Attack accuracy of the strongest of the slides' four attacks for the test accuracy lost, at each strength "
        f"(undefended {_strongest(base)}): {'; '.join(costs)}. The slides find that nothing depends on these settings; "
        "their curves have no numbers.",
    )
    return Findings(tuple(rows), (_plot(bench.source, LIRA, base, runs),), notes, tuple(conditions))


def _strongest(run: Result) -> str:
    """The highest attack accuracy and whose it is: a shadow model that failed to learn can blind LiRA alone."""
    found = {name: ours.value for name in ATTACKS if (ours := figure(run, ACCURACY, name))}
    best = max(found, key=lambda name: found[name])
    return f"{100 * found[best]:.1f}% by {ATTACKS[best]}"


def _study(bench: Bench, source: str) -> Plain:
    """Dense networks; images have convolutional ones at full size."""
    full = bench.size == "full"
    common: Plain = {
        "data.source": f"{source}?size=64" if source == "ham10000" else source,
        "shadow.count": bench.pick(4, 8, 16),
        "attacks.use": ["gap", "loss", *ATTACKS],
        "attacks.headline": LIRA,
    }
    if source == "location30":
        n = bench.pick(300, 1350, 1350)
        return common | {
            "data.members": n,
            "data.nonmembers": n,
            "data.validation": 800,
            "model.hidden": [256, 128],
            "training.epochs": bench.pick(6, 30, 50),
        }
    n = {"lfw62": 1200, "texas100": 10_000, "cifar10": 2500 if full else 2000}.get(source, 2500)
    common |= {"data.members": n, "data.nonmembers": n, "data.validation": 600 if source == "lfw62" else 2000}
    common |= {"training.epochs": 30, "shadow.count": 4}
    if source == "texas100":
        return common | {"model.name": "nasr-texas"}
    return common if full else common | {"model.hidden": [128]}


def _lines(bench: Bench, setting: str, run: Result) -> list[Row]:
    rows = bench.rows(setting, run, ["train accuracy", "test accuracy"])
    for attack in ("gap", *ATTACKS):
        rows.append(bench.row(setting, f"{ACCURACY}, {ATTACKS.get(attack, attack)}", figure(run, ACCURACY, attack)))
    return rows


def _lost(base: Result, run: Result) -> float:
    return accuracy_of(base) - accuracy_of(run)


def _series(name: str, x: Sequence[float], figures: Sequence[Ours | None]) -> Series:
    there = [(at, o) for at, o in zip(x, figures, strict=True) if o is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    return Series(name, tuple(at for at, _ in there), tuple(o.value for _, o in there), lows, highs)


_DATA = (
    ("location30",),
    ("cifar10",),
    ("lfw62",),
    ("texas100", "location30"),
    ("ham10000", "dermamnist", "location30"),
)
REPRODUCTIONS = (
    Reproduction(
        "ws-tradeoff", ORIGIN, "accuracy lost against attack, beside DP-SGD", _DATA, (0.5, 15, 1500), tradeoff
    ),
    Reproduction(
        "ws-ablation",
        ORIGIN,
        "where the noise goes, how weights are normalised",
        (("location30",),),
        (0.4, 5, 30),
        ablation,
    ),
)
