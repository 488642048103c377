"""Engines: how a block of jobs becomes answers. Modules train many at once; the rest in worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memberwise.entrypoint import USER_FILE
from memberwise.errors import TrainingError
from memberwise.models.build import Model
from memberwise.training.answering import Answering, EstimatorModels, FunctionModels, TorchModels, kind_of_answers
from memberwise.training.job import Job
from memberwise.training.loop import Tick, train_stack
from memberwise.training.network import Network
from memberwise.training.plan import Plan, threads_of
from memberwise.training.procedure import run_procedures
from memberwise.training.tensors import DataTensors
from memberwise.training.users_code import users_code

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


class ProcessEngine:
    """Scikit-learn classifiers and users' training functions, one by one in worker processes."""

    def __init__(self, model: Model, x: NDArray[np.float32], y: NDArray[np.int64], classes: int, plan: Plan) -> None:
        self.model, self.x, self.y, self.classes, self.plan = model, x, y, classes, plan
        self.block = plan.stack
        self.notes: list[tuple[str, str]] = []

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Answering:
        fitted = [fit_one(self.model, self.x, self.y, job) for job in jobs]
        if tick is not None:
            tick(1.0)
        return answering(self.model, fitted, self.x, self.classes)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        _ship_user_files()
        work = Parallel(n_jobs=self.plan.threads, return_as="generator")(
            delayed(_fit_and_collect)(self.model, self.x, self.y, self.classes, job, collect) for job in jobs
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


def _fit_and_collect(
    model: Model, x: NDArray[np.float32], y: NDArray[np.int64], classes: int, job: Job, collect: Collect
) -> Arrays:
    return collect(answering(model, [fit_one(model, x, y, job)], x, classes), [job])


def fit_one(model: Model, x: NDArray[np.float32], y: NDArray[np.int64], job: Job) -> Any:
    """Fit one estimator (cloned, seeded) or call the user's training function.

    Raises:
        TrainingError: the estimator or the function fails.
    """
    rows, seed = job.rows, job.seed % 2**32
    try:
        if model.kind == "function":
            return model.make(x[rows], y[rows], seed)
        estimator = model.make()
        estimator.set_params(**_random_states(estimator, seed))
        return estimator.fit(x[rows].reshape(len(rows), -1), y[rows])
    except (Exception, SystemExit) as error:
        raise TrainingError(
            f"{model.name} fails while training on {len(rows)} records", found=f"{type(error).__name__}: {error}"
        ) from error


def _random_states(estimator: Any, seed: int) -> dict[str, int]:
    """A seed for every random state of an estimator, also of those inside it (the steps of a pipeline)."""
    names = sorted(name for name in estimator.get_params(deep=True) if name.endswith("__random_state"))
    own = {"random_state": seed} if "random_state" in estimator.get_params() else {}
    return own | dict(zip(names, np.random.default_rng(seed).integers(2**31, size=len(names)).tolist(), strict=True))


def answering(model: Model, fitted: Sequence[Any], x: NDArray[np.float32], classes: int) -> Answering:
    """Fitted models as something that answers; the kind of a user's function is read off a first answer."""
    if model.kind == "estimator":
        return EstimatorModels(fitted, classes)
    first = FunctionModels(fitted[:1], "logits").ask(x[:256])[0]
    if first.shape != (len(x[:256]), classes):
        raise TrainingError(
            f"the predict function of {model.name} answers arrays of another shape",
            expected=f"(records, classes) = {(len(x[:256]), classes)}",
            found=str(first.shape),
        )
    return FunctionModels(fitted, kind_of_answers(first))
