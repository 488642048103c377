"""What an audit would cost: models, time by a short calibration, disk. Nothing is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from memberwise.auditing.afford import Asking
from memberwise.auditing.cluster_cost import ClusterCost, cluster_cost
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.auditing.served import asking
from memberwise.errors import StudyError
from memberwise.signals.ask import collect, collect_extras, serve
from memberwise.signals.codec import vector_models
from memberwise.study.duration import duration
from memberwise.study.schema import Study
from memberwise.targets.base import Target
from memberwise.training.job import Job

CALIBRATION_STEPS = 12
CALIBRATION_RECORDS = 512
EXTRA_RECORDS = 64
# Beyond so many models or epochs nobody trains: the estimate is scaled up from the smaller numbers, unmeasured.
MOST_MODELS, FEW_MODELS = 10_000, 64
MOST_EPOCHS, FEW_EPOCHS = 10_000, 100


@dataclass(frozen=True)
class Cost:
    """What would be trained, how long it takes on this machine, and how much it writes.

    Attributes:
        models: target included. rows: records each trains on. parameters: trainable numbers each (None: no module).
        questions: to a served model; None where none is.
        seconds: training and asking, by calibration (attacks and report not counted). disk_bytes: signals on disk.
        driver_bytes: memory of this process, where signals are joined and attacked. cluster: of an engine of several
            machines.
    """

    models: int
    rows: int
    epochs: int
    parameters: int | None
    stack: int
    threads: int
    roles: dict[str, int]
    attacks: list[str]
    seconds: float
    disk_bytes: int
    driver_bytes: int
    questions: Asking | None = None
    cluster: ClusterCost | None = None

    def to_dict(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if value is not None or name == "parameters"}

    def describe(self) -> str:
        """A few lines for a person."""
        roles = ", ".join(f"{count:,} {name}" for name, count in self.roles.items() if count)
        size = "" if self.parameters is None else f", {self.parameters:,} parameters each"
        return (
            f"would train   {self.models} models on {self.rows:,} records each, {self.epochs} epochs{size}\n"
            f"records       {roles}\n"
            f"plan          {self.stack} models at once on {self.threads} threads\n"
            f"attacks       {', '.join(self.attacks)}\n"
            f"time          about {duration(self.seconds)} of training and asking (calibrated just now)\n"
            f"disk          about {self.disk_bytes / 1e6:,.1f} MB of signals\n"
            f"memory        about {self.driver_bytes / 1e6:,.0f} MB here, where the attacks run\n"
            + "".join(
                f"{line}\n" for part in (self.questions, self.cluster) if part is not None for line in part.lines()
            )
        )


def estimate_cost(study: Study, inputs: Inputs | None = None) -> Cost:
    """Prepare everything as the audit would, then time a few steps of one block.

    Raises:
        MemberwiseError: whatever the audit would refuse.
    """
    if study.outputs.file is not None:
        raise StudyError("saved answers cost no training: there is nothing to estimate", where="--dry-run")
    inputs = inputs or Inputs()
    resolved = resolve(_small(study), inputs.attacks)
    small = resolved.study
    prepared = prepare(resolved, inputs)
    cluster = cluster_cost(prepared, calibrate)
    seconds = calibrate(prepared) if cluster is None else cluster.seconds
    disk = _disk(prepared, study.shadow.count)
    times = (1 + study.shadow.count) / (1 + small.shadow.count) * (study.training.epochs / small.training.epochs)
    return Cost(
        models=1 + study.shadow.count,
        rows=len(prepared.target_job.rows),
        epochs=study.training.epochs,
        parameters=prepared.trainer.describe().parameters,
        stack=prepared.plan.stack,
        threads=prepared.plan.threads,
        roles=prepared.roles.counts,
        attacks=[
            attack.name
            for attack in resolved.request.attacks
            if prepared.dataset.label_sets is None or not attack.needs.of_one_class
        ],
        seconds=seconds * times,
        disk_bytes=disk,
        driver_bytes=_resident() + 2 * disk,
        questions=asking(prepared) if study.target.endpoint is not None else None,
        cluster=None if cluster is None else replace(cluster, seconds=cluster.seconds * times),
    )


def _resident() -> int:
    """Bytes of memory that this process has taken at most."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _small(study: Study) -> Study:
    """The study with numbers of models and epochs for which a plan is worth making."""
    count, epochs = study.shadow.count, study.training.epochs
    shadow = study.shadow.model_copy(update={"count": FEW_MODELS if count > MOST_MODELS else count})
    training = study.training.model_copy(update={"epochs": FEW_EPOCHS if epochs > MOST_EPOCHS else epochs})
    return study.model_copy(update={"shadow": shadow, "training": training})


def calibrate(prepared: Prepared) -> float:
    """Seconds for all models, from a shortened block: a few steps, a few hundred records asked about."""
    count = prepared.study.shadow.count
    block = [prepared.shadow_job(k) for k in range(min(count, prepared.plan.stack))]
    models = count + (prepared.target is None)
    recipe = prepared.target_job.recipe
    by_steps = prepared.trainer.describe().by_steps
    rows = CALIBRATION_STEPS * recipe.batch_size if by_steps else len(prepared.target_job.rows)
    once = replace(recipe, epochs=1, patience=None)
    short = [replace(job, rows=job.rows[:rows], recipe=once, validation=None) for job in block]
    prepared.trainer.train([replace(job, rows=job.rows[: recipe.batch_size]) for job in short[:1]])
    begun = time.perf_counter()
    trained = prepared.trainer.train(short if by_steps else short[:1])
    training = time.perf_counter() - begun
    questions = prepared.shadow_questions
    few = replace(questions, extras=(), **{name: getattr(questions, name)[:CALIBRATION_RECORDS] for name in _ASKED})
    begun = time.perf_counter()
    collect(trained, short[: len(trained)], few, vectors=True)
    asking = time.perf_counter() - begun
    share = _records(questions) / max(1, _records(few))
    extras = _extra_seconds(prepared, trained, short)
    if not by_steps:
        return (training + asking * share) * models / prepared.plan.threads + extras
    steps = recipe.epochs * recipe.steps_per_epoch(len(prepared.target_job.rows))
    done = recipe.steps_per_epoch(min(rows, len(prepared.target_job.rows)))
    return (training * steps / done + asking * share) * models / len(block) + extras


def _extra_seconds(prepared: Prepared, trained: Target, jobs: Sequence[Job]) -> float:
    """Seconds that collectors take on the target and the first shadow models, from a few records and one model."""
    questions, seconds = prepared.shadow_questions, 0.0
    few = replace(questions, audited=questions.audited[:EXTRA_RECORDS])
    for collector in questions.extras:
        begun = time.perf_counter()
        one = trained.one(0)
        collect_extras(one, serve(one, jobs[:1], few), jobs[:1], replace(few, extras=(collector,)))
        asked_about = min(len(questions.audited), getattr(collector, "records", len(questions.audited)))
        models = 1 + min(prepared.study.shadow.count, questions.models_of(collector))
        seconds += (time.perf_counter() - begun) * models * asked_about / len(few.audited)
    return seconds


_ASKED = ("audited", "population", "test", "background")


def _records(questions: object) -> int:
    return sum(len(getattr(questions, name)) for name in _ASKED)


def _disk(prepared: Prepared, count: int) -> int:
    """Bytes of signals: two float32 and a flag for each (model, record, query), full answers of the first models."""
    questions, models = prepared.questions, 1 + count
    queries = {"none": 1, "mirror": 2, "shift18": 18}[questions.queries]
    singles = models * (len(questions.audited) + len(questions.population)) * queries * 9
    kept = 1 + vector_models(len(questions.audited), questions.classes, models - 1)
    return singles + kept * len(questions.audited) * questions.classes * 4
