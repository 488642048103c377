"""Engines: how a block of jobs becomes answers. Modules train many at once; the rest in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import TrainingError
from memberwise.models.build import Model
from memberwise.training.answering import Answering, EstimatorModels, FunctionModels, TorchModels, kind_of_answers
from memberwise.training.job import Job
from memberwise.training.loop import Tick, train_stack
from memberwise.training.network import Network
from memberwise.training.plan import Plan, threads_of
from memberwise.training.tensors import DataTensors

Arrays = dict[str, NDArray[Any]]
Collect = Callable[[Answering, Sequence[Job]], Arrays]


class Engine(Protocol):
    """Trains a block of jobs; what is collected from the models comes back, the models do not.

    Attributes:
        block: how many models one block holds.
    """

    block: int

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Answering:
        """Train and keep the models (the target)."""
        ...

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        """Train, collect arrays whose first dimension is the model, and let the models go."""
        ...


class StackEngine:
    """Modules of one architecture, ``plan.stack`` at once."""

    def __init__(self, network: Network, data: DataTensors, plan: Plan) -> None:
        self.network, self.data, self.plan, self.block = network, data, plan, plan.stack

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> TorchModels:
        with threads_of(self.plan.threads):
            # Models of different size cannot share a batch: only a target of another size than its shadows.
            stacked = self.plan.stacked or (len(jobs) > 1)
            trained = train_stack(jobs, self.network, self.data, stacked, tick)
        return TorchModels(self.network, trained.params, trained.buffers, stacked)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        models = self.train(jobs, tick)
        with threads_of(self.plan.threads):
            return collect(models, jobs)


class ProcessEngine:
    """Scikit-learn classifiers and users' training functions, one by one in worker processes."""

    def __init__(self, model: Model, x: NDArray[np.float32], y: NDArray[np.int64], classes: int, plan: Plan) -> None:
        self.model, self.x, self.y, self.classes, self.plan = model, x, y, classes, plan
        self.block = plan.stack

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Answering:
        fitted = [fit_one(self.model, self.x, self.y, job) for job in jobs]
        if tick is not None:
            tick(1.0)
        return answering(self.model, fitted, self.x, self.classes)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        from joblib import Parallel, delayed

        work = Parallel(n_jobs=self.plan.threads, return_as="generator")(
            delayed(_fit_and_collect)(self.model, self.x, self.y, self.classes, job, collect) for job in jobs
        )
        collected: list[Arrays] = []
        for arrays in work:
            collected.append(arrays)
            if tick is not None:
                tick(len(collected) / len(jobs))
        return {name: np.concatenate([arrays[name] for arrays in collected]) for name in collected[0]}


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
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed)
        return estimator.fit(x[rows].reshape(len(rows), -1), y[rows])
    except Exception as error:
        raise TrainingError(
            f"{model.name} fails while training on {len(rows)} records", found=f"{type(error).__name__}: {error}"
        ) from error


def answering(model: Model, fitted: Sequence[Any], x: NDArray[np.float32], classes: int) -> Answering:
    """Fitted models as something that answers; the kind of a user's function is read off a first answer."""
    if model.kind == "estimator":
        return EstimatorModels(fitted, classes)
    first = np.asarray(fitted[0](x[:256]), np.float64)
    if first.shape != (len(x[:256]), classes):
        raise TrainingError(
            f"the predict function of {model.name} answers arrays of another shape",
            expected=f"(records, classes) = {(len(x[:256]), classes)}",
            found=str(first.shape),
        )
    return FunctionModels(fitted, kind_of_answers(first))
