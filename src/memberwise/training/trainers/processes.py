"""Estimators and users' training functions, one by one in worker processes, or trees in threads."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO

from memberwise.data.labels import ClassLabels
from memberwise.data.rows import TableRows
from memberwise.errors import Note, TrainingError
from memberwise.models.build import Model
from memberwise.models.kinds import kind_of_label_answers
from memberwise.models.one_logit import is_one_number, number_kind
from memberwise.models.processors import processor_name
from memberwise.models.threads import cores
from memberwise.study.entrypoint import USER_FILE
from memberwise.targets.base import Target, kind_of_answers
from memberwise.targets.estimators import EstimatorModels, records_for
from memberwise.targets.label_set_estimators import LabelSetEstimators
from memberwise.targets.models import FunctionModels, OneNumber
from memberwise.training.estimators import fit_estimator
from memberwise.training.job import Job
from memberwise.training.loop import Tick
from memberwise.training.plan import Plan
from memberwise.training.trainers.base import ALONE, Collect, Fit, TrainerFacts, joined
from memberwise.types.arrays import Array, Arrays, Ints
from memberwise.types.foreign import Estimator

# Trees that are grown, and asked, outside of Python's lock: threads of one process then need no copies of the data, and
# no processes that import everything again. The models are the same to the bit (benchmarks/trees.py).
TREES = {
    "sklearn": ("RandomForestClassifier", "ExtraTreesClassifier", "HistGradientBoostingClassifier"),
    "xgboost": ("XGBClassifier", "XGBRFClassifier"),
    "lightgbm": ("LGBMClassifier",),
}


@dataclass(frozen=True, eq=False)
class Records:
    """What estimators and users' functions are trained on.

    Attributes:
        x: ``(n, ...)`` records. y: ``(n,)`` class numbers, or ``(n, L)`` 0/1 of several labels.
        labels: the data's classes.
        rows: how records become the table rows that estimators take; None: they take the numbers.
    """

    x: Array
    y: Ints
    labels: ClassLabels
    rows: TableRows | None = None


class ProcessTrainer:
    """Scikit-learn classifiers and users' training functions, one by one in worker processes, or trees in threads."""

    def __init__(
        self,
        model: Model,
        x: Array,
        y: Ints,
        classes: int,
        plan: Plan,
        labels: ClassLabels | None = None,
        rows: TableRows | None = None,
    ) -> None:
        """``labels``: the data's own, where they are not 0 to ``classes`` - 1. ``rows``: see ``Records``."""
        self.model, self.plan = model, plan
        self.records = Records(x, y, labels or ClassLabels.numbered(classes), rows)
        self.notes: list[Note] = []

    def describe(self) -> TrainerFacts:
        return TrainerFacts(
            block=self.plan.stack,
            workers=self.plan.threads,
            by_steps=False,
            keeps_weights=False,
            threads=self.plan.threads,
            processor=processor_name("cpu"),
            device="cpu",
        )

    def measure(self, job: Job, threads: int) -> Fit:
        """As the plan says, in no more processes than there are threads: estimators have nothing to choose."""
        return Fit(processor_name("cpu"), "cpu", replace(self.plan, threads=min(self.plan.threads, threads)))

    def under(self, plan: Plan, device: str) -> ProcessTrainer:
        other = copy.copy(self)
        other.plan = plan
        return other

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Target:
        fitted = [fit_one(self.model, self.records, job) for job in jobs]
        if tick is not None:
            tick(1.0)
        return answering(self.model, fitted, self.records)

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        threads = self.plan.threads > 1 and grows_in_threads(self.model, self.records) and _thread_safe(collect)
        if not threads:
            _ship_user_files()
        pool = Parallel(n_jobs=self.plan.threads, return_as="generator", backend="threading" if threads else None)
        fit = partial(_in_thread, cores() // self.plan.threads) if threads else _fit_and_collect
        work = (delayed(fit)(self.model, self.records, job, collect) for job in jobs)
        collected: list[Arrays] = []
        try:
            with ALONE, _held_for_threads() if threads else nullcontext():
                for arrays in pool(work):
                    collected.append(arrays)
                    if tick is not None:
                        tick(len(collected) / len(jobs))
        except TerminatedWorkerError as error:
            raise TrainingError(
                "a worker process died while it trained a shadow model",
                found=str(error).split("\n")[0],
                fix="most often memory ran out: fewer processes (--set plan.threads=1) or a smaller model",
            ) from error
        return joined(collected)


def _ship_user_files() -> None:
    """Let worker processes have what was loaded from the user's own files, which they could not import by name."""
    from cloudpickle import register_pickle_by_value

    for name, module in list(sys.modules.items()):
        if name.startswith(USER_FILE):
            register_pickle_by_value(module)


def grows_in_threads(model: Model, records: Records) -> bool:
    """A library's own trees on ``(n, features)`` numbers: nothing of the user's, whose state threads would share."""
    if model.kind != "estimator" or records.rows is not None:
        return False
    kind = type(model.make())
    return kind.__name__ in TREES.get(kind.__module__.partition(".")[0], ())


def _thread_safe(collect: Collect) -> bool:
    """The collection says so of itself; what says nothing, such as a function, is not."""
    return bool(getattr(getattr(collect, "func", collect), "thread_safe", False))


@contextmanager
def _held_for_threads() -> Iterator[None]:
    """What each fit sets and puts back is the whole process's: as it was, whatever order threads end in."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        yield


def _in_thread(inner: int, model: Model, records: Records, job: Job, collect: Collect) -> Arrays:
    """With as many threads of its own inside as a worker process would have."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(max(1, inner), user_api="openmp"):
        return _fit_and_collect(model, records, job, collect)


def _fit_and_collect(model: Model, records: Records, job: Job, collect: Collect) -> Arrays:
    return collect(answering(model, [fit_one(model, records, job)], records), [job])


def fit_one(model: Model, records: Records, job: Job) -> object:
    """Fit one estimator (cloned, seeded, on the data's own labels) or call the user's training function.

    Records are ``(n, ...)``, class numbers ``(n,)``.

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


def answering(model: Model, fitted: Sequence[Estimator], records: Records) -> Target:
    """Fitted models as something that answers; the kind of a user's function is read off a first answer.

    Records are ``(n, ...)``.
    """
    x, classes = records.x, len(records.labels)
    if model.kind == "estimator" and records.y.ndim == 2:
        return LabelSetEstimators(fitted, classes, records.rows)
    if model.kind == "estimator":
        return EstimatorModels(fitted, records.labels, records.rows)
    first = FunctionModels(fitted[:1], "logits").predict(x[:256])[0]
    if classes == 2 and records.y.ndim == 1 and is_one_number(first.shape, len(x[:256])):
        return FunctionModels([OneNumber(one, number_kind(first)) for one in fitted], number_kind(first))
    if first.shape != (len(x[:256]), classes):
        raise TrainingError(
            f"the predict function of {model.name} answers arrays of another shape",
            expected=f"(records, classes) = {(len(x[:256]), classes)}",
            found=str(first.shape),
        )
    return FunctionModels(fitted, (kind_of_label_answers if records.y.ndim == 2 else kind_of_answers)(first))
