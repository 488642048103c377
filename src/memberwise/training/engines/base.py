"""Engines: how a block of jobs becomes answers. Modules train many at once; the rest in worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memberwise.data.labels import ClassLabels
from memberwise.data.rows import TableRows
from memberwise.errors import TrainingError
from memberwise.models.build import Model
from memberwise.models.network import Network
from memberwise.study.entrypoint import USER_FILE
from memberwise.targets.models import Answering, EstimatorModels, FunctionModels, TorchModels, kind_of_answers
from memberwise.targets.users_code import users_code
from memberwise.training.estimators import fit_estimator, records_for
from memberwise.training.job import Job
from memberwise.training.loop import Tick, train_stack
from memberwise.training.plan import Plan, threads_of
from memberwise.training.procedure import run_procedures
from memberwise.training.tensors import DataTensors

Arrays = dict[str, NDArray[Any]]
GENERAL_PATH = "general-path"
Collect = Callable[[Answering, Sequence[Job]], Arrays]


class Engine(Protocol):
    """Trains a block of jobs; what is collected from the models comes back, the models do not.

    Attributes:
        block: how many models one block holds.
        notes: what was noticed while models trained, as (code, message).
    """

    block: int

    @property
    def notes(self) -> list[tuple[str, str]]: ...

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Answering:
        """Train and keep the models (the target)."""
        ...

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        """Train, collect arrays whose first dimension is the model, and let the models go."""
        ...


class StackEngine:
    """Modules of one architecture, ``plan.stack`` at once; a block holds whole pairs of shadow models."""

    def __init__(self, network: Network, data: DataTensors, plan: Plan) -> None:
        self.network, self.data, self.plan = plan.network(network), data, plan
        self.block = plan.stack + plan.stack % 2

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(GENERAL_PATH, message) for message in self.network.notes]

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> TorchModels:
        if jobs[0].procedure is not None:
            return run_procedures(jobs, self._train_stack, self.data, self.plan.stack, tick)
        return self._train_stack(jobs, tick)

    def _train_stack(self, jobs: Sequence[Job], tick: Tick | None) -> TorchModels:
        # What a module keeps in Python (a counter, a cache) must not pass from one stack to the next.
        network = self.network.fresh(jobs[0].seed)
        with threads_of(self.plan.threads), _training(jobs[0]):
            trained = train_stack(jobs, network, self.data, self.plan.stacked, tick, self.plan.compile)
        return TorchModels(network, trained.params, trained.buffers, self.plan.stacked, trained.own)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        collected = []
        for first in range(0, len(jobs), self.plan.stack):
            stack = jobs[first : first + self.plan.stack]
            models = self.train(stack, None if tick is None else partial(_share, tick, first, len(stack), len(jobs)))
            with threads_of(self.plan.threads):
                collected.append(collect(models, stack))
        return _joined(collected)


def _training(job: Job) -> AbstractContextManager[None]:
    """Around training by a module that may be the user's own."""
    doing = f"training on {len(job.rows):,} records"
    if min(job.recipe.batch_size, len(job.rows)) > 1:
        return users_code(doing)
    return users_code(
        doing + " in batches of one", "training.batch_size = 2 or more: BatchNorm, for one, needs two records"
    )


def _share(tick: Tick, first: int, size: int, whole: int, share: float) -> None:
    tick((first + share * size) / whole)


def _joined(parts: Sequence[Arrays]) -> Arrays:
    """Joined over models; what only the first ones were asked has them alone."""
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}


@dataclass(frozen=True, eq=False)
class Records:
    """What estimators and users' functions are trained on.

    Attributes:
        x: ``(n, ...)`` records. y: ``(n,)`` class numbers. labels: the data's classes.
        rows: how records become the table rows that estimators take; None: they take the numbers.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    labels: ClassLabels
    rows: TableRows | None = None


class ProcessEngine:
    """Scikit-learn classifiers and users' training functions, one by one in worker processes."""

    def __init__(
        self,
        model: Model,
        x: NDArray[Any],
        y: NDArray[np.int64],
        classes: int,
        plan: Plan,
        labels: ClassLabels | None = None,
        rows: TableRows | None = None,
    ) -> None:
        """``labels``: the data's own, where they are not 0 to ``classes`` - 1. ``rows``: see ``Records``."""
        self.model, self.plan = model, plan
        self.records = Records(x, y, labels or ClassLabels.numbered(classes), rows)
        self.block = plan.stack
        self.notes: list[tuple[str, str]] = []

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Answering:
        fitted = [fit_one(self.model, self.records, job) for job in jobs]
        if tick is not None:
            tick(1.0)
        return answering(self.model, fitted, self.records)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        _ship_user_files()
        work = Parallel(n_jobs=self.plan.threads, return_as="generator")(
            delayed(_fit_and_collect)(self.model, self.records, job, collect) for job in jobs
        )
        collected: list[Arrays] = []
        try:
            for arrays in work:
                collected.append(arrays)
                if tick is not None:
                    tick(len(collected) / len(jobs))
        except TerminatedWorkerError as error:
            raise TrainingError(
                "a worker process died while it trained a shadow model",
                found=str(error).split("\n")[0],
                fix="most often memory ran out: fewer processes (--set plan.threads=1) or a smaller model",
            ) from error
        return _joined(collected)


def _ship_user_files() -> None:
    """Let worker processes have what was loaded from the user's own files, which they could not import by name."""
    from cloudpickle import register_pickle_by_value

    for name, module in list(sys.modules.items()):
        if name.startswith(USER_FILE):
            register_pickle_by_value(module)


def _fit_and_collect(model: Model, records: Records, job: Job, collect: Collect) -> Arrays:
    return collect(answering(model, [fit_one(model, records, job)], records), [job])


def fit_one(model: Model, records: Records, job: Job) -> Any:
    """Fit one estimator (cloned, seeded, on the data's own labels) or call the user's training function.

    Raises:
        TrainingError: the estimator or the function fails.
    """
    x, y, seed = records.x[job.rows], records.y[job.rows], job.seed % 2**32
    try:
        if model.kind == "function":
            return model.make(x, y, seed)
        estimator = model.make()
        return fit_estimator(estimator, records_for(None, x, records.rows), y, records.labels, seed)
    except (Exception, SystemExit) as error:
        taken = "rows of the table" if records.rows else f"arrays of numbers of shape {x.shape[1:]}"
        raise TrainingError(
            f"{model.name} fails while training on {len(job.rows)} records",
            found=f"{type(error).__name__}: {error}",
            where=f"it was given {taken}",
            fix="run again with --debug for the traceback",
        ) from error


def answering(model: Model, fitted: Sequence[Any], records: Records) -> Answering:
    """Fitted models as something that answers; the kind of a user's function is read off a first answer."""
    x, classes = records.x, len(records.labels)
    if model.kind == "estimator":
        return EstimatorModels(fitted, records.labels, records.rows)
    first = FunctionModels(fitted[:1], "logits").ask(x[:256])[0]
    if first.shape != (len(x[:256]), classes):
        raise TrainingError(
            f"the predict function of {model.name} answers arrays of another shape",
            expected=f"(records, classes) = {(len(x[:256]), classes)}",
            found=str(first.shape),
        )
    return FunctionModels(fitted, kind_of_answers(first))
