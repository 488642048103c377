"""The table of platforms: the local network, models served here and audited over HTTP alone, and the services."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import tomli_w
from sklearn.neural_network import MLPClassifier

from memberwise.auditing.prepare import Inputs
from memberwise.data.dataset import as_float
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure
from memberwise.reproduce.claim import Findings, Plot, Row
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.servers import Served, gateway, interpreter, mlflow, mlserver, train
from memberwise.reproduce.tables.shokri_system import (
    ATTACK,
    FOUR,
    NAMES,
    RECIPE,
    SLIDES,
    attacked,
    disjoint,
    members_of,
    nearest,
    of_attack,
    percent,
    series,
)

SERVICES = {
    "Google": "the service ended in 2018",
    "Amazon (10, 1e-6)": "needs an account of the service: memberwise audit --endpoint file.py:ask --protocol custom",
    "Amazon (100, 1e-4)": "needs an account of the service: memberwise audit --endpoint file.py:ask --protocol custom",
}
SERVERS: Mapping[str, tuple[str, Callable[[Path, Path], AbstractContextManager[Served]]]] = {
    "MLServer, over HTTP": ("mlserver", mlserver),
    "MLflow, over HTTP": ("mlflow", mlflow),
}
GATEWAY = "the gateway, over HTTP"
# No budget ends: the platforms of the table had none.
POLICY = {
    "version": 1,
    "answer": [],
    "plans": {"default": {"questions": 10**9, "rates": ["100000/second"]}},
    "budget": {"neighbourhood": {"questions": 10**9}},
}


def platforms(bench: Bench) -> Findings:
    """The local network's row of the table, three models served here, and the services' as they were published."""
    members = members_of(bench, bench.source)
    several = bench.pick([5, 15], [10, 20, 40, 60, 100], [10, 20, 40, 60, 100, 200])
    runs = over_epochs(bench, bench.source, several, bench.pick(2, 10, 20))
    near = nearest(bench, "neural network", runs)
    why = f"after {near} passes over {members:,} records, where both accuracies are nearest; the slides state neither"
    rows = bench.rows("neural network", runs[near], ["train accuracy", "test accuracy"], why=why)
    rows += bench.rows("neural network", runs[near], FOUR[1:], ATTACK)
    rows += _served_rows(bench, members, runs[near], near)
    rows += [
        bench.row(service, measure, None, reason)
        for service, reason in SERVICES.items()
        for measure in ("train accuracy", "test accuracy")
    ]
    rows += rows_of_epochs(bench, "", runs)
    lines = [
        series(measure, several, [figure(run, measure, ATTACK) for run in runs.values()])
        for measure in ("train accuracy", "test accuracy", "attack accuracy")
    ]
    plot = Plot("passes", f"Accuracy against passes, {NAMES[bench.source]}", "passes", "accuracy", tuple(lines))
    return Findings(tuple(rows), (plot,), (epochs_note(NAMES[bench.source], runs),))


def over_epochs(bench: Bench, source: str, several: list[int], shadows: int) -> dict[int, Result]:
    """One audit a number of passes."""
    more: dict[str, object] = {"shadow.count": shadows}
    members = members_of(bench, source)
    return {e: attacked(bench, f"{source} {e}", source, members, more | {"training.epochs": e}) for e in several}


def rows_of_epochs(bench: Bench, before: str, runs: Mapping[int, Result]) -> list[Row]:
    """Accuracies and precision after each number of passes."""
    measures = ["train accuracy", "test accuracy", "attack precision"]
    return [row for e, run in runs.items() for row in bench.rows(f"{before}{e} passes", run, measures, ATTACK)]


def epochs_note(name: str, runs: Mapping[int, Result]) -> str:
    """How the precision goes with the passes, in words."""
    parts = [
        f"{percent(of_attack(run, 'attack precision'))} after {e} "
        f"(gap attack {percent(figure(run, 'attack precision', 'gap'))})"
        for e, run in runs.items()
    ]
    return f"Precision on {name} by passes: {', '.join(parts)}."


def _served_rows(bench: Bench, members: int, local: Result, passes: int) -> list[Row]:
    """Models served by three servers started here, on the same records, audited through HTTP alone."""
    measures = ["train accuracy", *FOUR]
    rows: list[Row] = []
    for setting, (name, serve) in SERVERS.items():
        python = interpreter(name)
        if python is None:
            why = f"not run: needs {name} in an environment of its own (make services, or MEMBERWISE_{name.upper()})"
            rows += [bench.row(setting, measure, None, why) for measure in measures]
            continue
        run = _of_estimator(bench, name, python, serve, members)
        rows += bench.rows(setting, run, measures, ATTACK, "a network of scikit-learn's, 128 units")
    run = _of_gateway(bench, local, members, passes)
    return rows + bench.rows(GATEWAY, run, measures, ATTACK, f"the local network itself, after {passes} passes")


def _of_estimator(
    bench: Bench, name: str, python: Path, serve: Callable[[Path, Path], AbstractContextManager[Served]], members: int
) -> Result:
    settings = {"hidden": 128, "max_iter": bench.pick(10, 60, 60), "random_state": bench.seed}
    rows, dataset = disjoint(bench.dataset().records, members, bench.seed), bench.dataset()
    folder = (bench.folder / name).absolute()
    x, y = as_float(dataset.x[rows["members"]]), dataset.y[rows["members"]]
    train(name, python, folder, x, y, settings)
    model = MLPClassifier((settings["hidden"],), activation="tanh", max_iter=settings["max_iter"])
    with serve(python, folder) as served:
        return _asked(bench, name, served, rows, {"shadow.count": bench.pick(2, 10, 20)}, model)


def _of_gateway(bench: Bench, local: Result, members: int, passes: int) -> Result:
    """The local network itself, behind the gateway: it must be found as it is."""
    folder = (bench.folder / "gateway").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    model = {"file": str(Path(str(local.folder)).absolute())}
    (folder / "policy.toml").write_text(tomli_w.dumps({**POLICY, "model": model}))
    rows = disjoint(bench.dataset().records, members, bench.seed)
    settings = {"shadow.count": bench.pick(2, 10, 20), "training.epochs": passes}
    with gateway(folder / "policy.toml") as served:
        return _asked(bench, "gateway", served, rows, settings, None)


def _asked(
    bench: Bench,
    name: str,
    served: Served,
    rows: Mapping[str, object],
    settings: Mapping[str, object],
    model: MLPClassifier | None,
) -> Result:
    """The audit through HTTP; a folder for each address, since what a server says is its own."""
    data = {"shadow.data": "auxiliary" if "auxiliary" in rows else "halves"}
    study = {**RECIPE, "data.source": bench.source, **data, **settings, **served.keys}
    port = str(served.keys["target.endpoint"]).rpartition(":")[2]
    inputs = Inputs(rows={**rows, "train_rows": rows["members"]}, model=model)
    with _environment(served.environment):
        return bench.audit(f"{name} {port}", study, inputs)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that are there for a while: a token never stands in a study."""
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)


REPRODUCTIONS = (
    Reproduction(
        "shokri-platforms",
        SLIDES,
        "accuracy of the same model on three platforms",
        (("purchase100", "location30"),),
        (0.3, 2, 25),
        platforms,
    ),
)
