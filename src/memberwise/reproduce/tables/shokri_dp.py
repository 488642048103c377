"""Differential privacy's price in the slides: accuracy by epsilon, each epsilon with a recipe of its own.

Learning rate, batch, clip, the average over steps and, on images, augmented copies of a record are chosen for each
epsilon on validation records (De et al. 2022). Noise is found by numerical composition, which needs less of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.auditing.prepare import Inputs
from memberwise.defences.training.dp_accounting import Sampling, epsilon_of, noise_for, numerical_epsilon_of
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure, learnt, records_of
from memberwise.reproduce.claim import Condition, Findings, Ours, Plot, Row, Series
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables.shokri_system import NAMES, SLIDES
from memberwise.reproduce.tuning import Tuned, merged, roles, tune
from memberwise.types.parts import Plain

MEASURES = ["train accuracy", "test accuracy"]
EPSILONS = (1, 2, 4, 8)
DELTA = 1e-5
UNSTATED = "the slides name neither the network, nor the training size, nor delta, which is 1e-5 here"
LOSS = "AUC, loss attack"


def privacy(bench: Bench) -> Findings:
    """Train and test accuracy at epsilon 1, 2, 4 and 8 and without a guarantee."""
    rows: list[Row] = []
    plots: list[Plot] = []
    notes: list[str] = []
    conditions: list[Condition] = []
    for source in bench.data[: bench.pick(1, 1, 2)]:
        tests: dict[int, Ours | None] = {}
        base = _study(bench, source)
        choices = []
        for epsilon in bench.pick((8,), EPSILONS, EPSILONS):
            defence = {"training.defence": {"name": "dp-sgd", "epsilon": float(epsilon), "accountant": "prv"}}
            tuned = tune(bench, f"{source} epsilon {epsilon}", merged(base, defence), _private(bench, source))
            study = merged(merged(base, defence), tuned.settings)
            run = bench.audit(f"{source} epsilon {epsilon}", study, _rows(bench, base))
            setting = f"{NAMES[source]}, epsilon {epsilon}"
            rows += _lines(bench, setting, run)
            rows += _accounted(bench, setting, epsilon, study)
            tests[epsilon] = figure(run, "test accuracy")
            conditions.append(learnt(f"{setting}: the model has learnt", run, [setting]))
            choices.append(_told(epsilon, tuned))
        tuned = tune(bench, f"{source} without", base, _plain(bench))
        run = bench.audit(f"{source} without", merged(base, tuned.settings), _rows(bench, base))
        rows += _lines(bench, f"{NAMES[source]}, without", run)
        plots.append(_plot(bench, source, tests))
        notes.append(f"Chosen on validation records of {NAMES[source]}: {'; '.join(choices)}.")
        notes.append(_near(bench, source, tests))
    aucs = [row.ours.value for row in rows if row.measure == LOSS and row.ours and "epsilon" in row.setting]
    plain = [row.ours.value for row in rows if row.measure == LOSS and row.ours and "without" in row.setting]
    notes.append(
        f"The loss attack's AUC is {min(aucs):.3f} to {max(aucs):.3f} with a guarantee and {max(plain):.3f} without."
    )
    return Findings(tuple(rows), tuple(plots), tuple(notes), tuple(conditions))


def _lines(bench: Bench, setting: str, run: Result) -> list[Row]:
    return [*bench.rows(setting, run, MEASURES, why=UNSTATED), bench.row(setting, LOSS, figure(run, "AUC", "loss"))]


def _accounted(bench: Bench, setting: str, epsilon: int, study: Plain) -> list[Row]:
    """Epsilon of the audited model by both accountants."""
    members, batch, epochs = (study[key] for key in ("data.members", "training.batch_size", "training.epochs"))
    how = Sampling(min(1.0, batch / members), epochs * -(-members // batch))
    noise = noise_for(float(epsilon), how, DELTA, "prv")
    values = {
        "epsilon, Renyi accountant": epsilon_of(noise, how, DELTA),
        "epsilon, numerical composition (PRV)": numerical_epsilon_of(noise, how, DELTA),
    }
    method = f"upper bound at delta {DELTA:g}"
    return [bench.row(setting, name, Ours(v, None, None, members, method, (bench.seed,))) for name, v in values.items()]


def _private(bench: Bench, source: str) -> list[list[Plain]]:
    """What is tried for each epsilon, one coordinate after the other."""

    def defence(key: str, *values: object) -> list[Plain]:
        return [{"training.defence": {key: value}} for value in values]

    rates: list[Plain]
    rates = [{"training.learning_rate": rate} for rate in bench.pick([0.5], [0.5, 1.0, 2.0, 4.0], [0.5, 1.0, 2.0, 4.0])]
    batches: list[Plain]
    batches = [{"training.batch_size": size} for size in bench.pick([256], [512, 2048], [512, 1024, 2048, 4096])]
    clips = defence("clip", *bench.pick([1.0], [1.0, 0.3], [1.0, 0.3, 0.1]))
    averages = defence("average", *bench.pick([0.0], [0.0, 0.98], [0.0, 0.98, 0.999]))
    coordinates = [rates, batches, clips, averages]
    if source == "cifar10":
        copies = [{"multiplicity": k, "augment": ["flip", "crop"] if k > 1 else []} for k in (1, 4, 8)]
        coordinates.append([{"training.defence": options} for options in copies])
    return coordinates


def _plain(bench: Bench) -> list[list[Plain]]:
    rates = bench.pick([0.05], [0.05, 0.1, 0.02], [0.05, 0.1, 0.02])
    return [[{"training.learning_rate": rate, "training.momentum": 0.9, "training.batch_size": 64} for rate in rates]]


def _study(bench: Bench, source: str) -> Plain:
    """Plain descent; what is not tuned."""
    n = bench.pick(600, 10_000, 25_000 if source == "mnist" else 20_000)
    common: Plain = {
        "data.source": source,
        "data.members": n,
        "data.nonmembers": n,
        "data.validation": bench.pick(300, 5000, 5000),
        "training.epochs": bench.pick(2, 20, 60),
        "training.momentum": 0.0,
        "training.schedule": "constant",
        "shadow.count": 2,
        "attacks.use": ["loss", "gap"],
        "attacks.headline": "loss",
    }
    return common | ({"model.hidden": [200, 200]} if source == "mnist" else {"model.name": "cnn"})


def _rows(bench: Bench, base: Plain) -> Inputs:
    counts = (base["data.members"], base["data.nonmembers"], base["data.validation"])
    return Inputs(rows=roles(records_of(base["data.source"]), *counts, bench.seed))


def _told(epsilon: int, tuned: Tuned) -> str:
    settings = dict(tuned.settings)
    flat = {key.removeprefix("training."): value for key, value in settings.items() if key != "training.defence"}
    flat |= settings.get("training.defence", {})
    text = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in flat.items() if value not in (0.0, []))
    return f"epsilon {epsilon}: {text} ({100 * tuned.accuracy:.1f}%, best of {len(tuned.tried)})"


def _near(bench: Bench, source: str, tests: Mapping[int, Ours | None]) -> str:
    """How near ours come to the published accuracies at the same epsilon."""
    differences = []
    for epsilon, ours in tests.items():
        published = bench.published(f"{NAMES[source]}, epsilon {epsilon}", "test accuracy")
        if ours is not None and published is not None:
            differences.append(f"{100 * (ours.value - published.value):+.1f} points at epsilon {epsilon}")
    return f"Test accuracy on {NAMES[source]} less the published one: {', '.join(differences)}."


def _plot(bench: Bench, source: str, tests: dict[int, Ours | None]) -> Plot:
    there = [(epsilon, ours) for epsilon, ours in tests.items() if ours is not None]
    lows = tuple(o.value if o.low is None else o.low for _, o in there)
    highs = tuple(o.value if o.high is None else o.high for _, o in there)
    ours = Series("ours", tuple(e for e, _ in there), tuple(o.value for _, o in there), lows, highs)
    figures = [(e, bench.published(f"{NAMES[source]}, epsilon {e}", "test accuracy")) for e in EPSILONS]
    theirs = [(e, f.value) for e, f in figures if f is not None]
    published = Series("published", tuple(e for e, _ in theirs), tuple(v for _, v in theirs), published=True)
    title = f"Test accuracy by epsilon on {NAMES[source]}"
    return Plot(f"epsilon-{source}", title, "epsilon (delta 1e-5)", "test accuracy", (ours, published), log_x=True)


REPRODUCTIONS = (
    Reproduction(
        "shokri-dp",
        SLIDES,
        "train and test accuracy by epsilon",
        (("mnist",), ("cifar10",)),
        (0.4, 10, 1200),
        privacy,
    ),
)
