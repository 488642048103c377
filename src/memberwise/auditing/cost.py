"""What an audit would cost: models, time by a short calibration, disk. Nothing is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from memberwise.assess.folds import LEARNING
from memberwise.assess.learned_anew import times_learned_anew
from memberwise.attacks.learned.lessons import BYTES_READ, MOST_READ
from memberwise.attacks.registry import choose
from memberwise.attacks.request import CASCADE
from memberwise.attacks.run import stand_in_records
from memberwise.auditing.afford import Asking
from memberwise.auditing.cluster_cost import ClusterCost, cluster_cost
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.auditing.served import asking
from memberwise.errors import StudyError
from memberwise.signals.ask import collect, collect_extras, serve
from memberwise.signals.codec import vector_models
from memberwise.signals.gather import HELD
from memberwise.study.duration import duration
from memberwise.study.models import ROUND
from memberwise.study.schema import Study
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Ints

CALIBRATION_STEPS = 12
CALIBRATION_RECORDS = 512
EXTRA_RECORDS = 64
# What an audit takes beside training and asking, and what all usual attacks with their figures add (measured).
REST_SECONDS, ATTACK_SECONDS, ATTACK_SECONDS_A_RECORD = 4.0, 3.0, 0.0006
# Each time that an attack is learned anew, for a shadow model in the target's place.
LEARNING_SECONDS_A_RECORD = 0.0007
# Beyond so many models or epochs nobody trains: the estimate is scaled up from the smaller numbers, unmeasured.
MOST_MODELS, FEW_MODELS = 10_000, 64
MOST_EPOCHS, FEW_EPOCHS = 10_000, 100


@dataclass(frozen=True)
class Cost:
    """What would be trained, how long it takes on this machine, and how much it writes.

    Attributes:
        models: target included. rows: records each trains on. parameters: trainable numbers each (None: no module).
        questions: to a served model; None where none is.
        seconds: of the whole run; training and asking by calibration. disk_bytes: signals on disk.
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
            f"time          about {duration(self.seconds)} in all (training and asking calibrated just now)\n"
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
    models, longer = study.shadow.count + resolved.request.cascade, study.training.epochs / small.training.epochs
    disk = _disk(prepared, study.shadow.count)
    times = (1 + study.shadow.count) / (1 + small.shadow.count) * longer
    rounds = _rounds_seconds(prepared) * longer
    attacks = [
        attack.name
        for attack in resolved.request.attacks
        if prepared.dataset.label_sets is None or not attack.needs.of_one_class
    ]
    return Cost(
        models=1 + models,
        rows=len(prepared.target_job.rows),
        epochs=study.training.epochs,
        parameters=prepared.trainer.describe().parameters,
        stack=prepared.plan.stack,
        threads=prepared.plan.threads,
        roles=prepared.roles.counts,
        attacks=attacks,
        seconds=seconds * times + rounds + _rest(prepared, attacks),
        disk_bytes=disk,
        driver_bytes=_resident()
        + _memory(models * len(prepared.roles.audited), disk, attacks, resolved.request.rounds),
        questions=asking(prepared) if study.target.endpoint is not None else None,
        cluster=None if cluster is None else replace(cluster, seconds=cluster.seconds * times + rounds),
    )


def _memory(answers: int, disk: int, attacks: Sequence[str], rounds: int = 0) -> int:
    """Bytes that signals and attacks take beside what preparing has taken: what is large is mapped from files."""
    learning = BYTES_READ * min(answers, MOST_READ) if {*LEARNING, CASCADE} & {*attacks} else 0
    return min(2 * disk, 2 * HELD * (1 + rounds)) + 2 * answers + learning


def _resident() -> int:
    """Bytes of memory that this process has taken at most."""
    status = Path("/proc/self/status")  # on Linux ``ru_maxrss`` begins with what the parent held
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
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
    count, own = prepared.study.shadow.count, prepared.target is None
    block = [prepared.shadow_job(k) for k in range(min(count, prepared.plan.stack))] or [prepared.target_job]
    if not prepared.trainer.describe().by_steps:
        begun = time.perf_counter()
        trained = prepared.trainer.train(block[:1])
        training = time.perf_counter() - begun
        models = (count + own) / prepared.plan.threads
        return (training + _asking(prepared, trained, block[:1])) * models + _extra_seconds(prepared, trained, block)
    once = Pace.of(prepared.trainer, block)
    extras = _extra_seconds(prepared, once.trained, once.jobs)
    asking = _asking(prepared, once.trained, once.jobs) * (count + own) / len(block)
    target = Pace.of(prepared.target_trainer, [prepared.target_job]).seconds(1) if own else 0.0
    return once.seconds(count / len(block)) + target + asking + extras


def _rounds_seconds(prepared: Prepared) -> float:
    """Seconds that a cascade's rounds train and are asked, one after the other, each by itself."""
    rounds, stack, plan = prepared.resolved.request.rounds, prepared.trainer.describe().block, prepared.plan
    if not rounds:
        return 0.0
    jobs = [prepared.shadow_job(k) for k in range(min(ROUND, stack))]
    blocks = -(-ROUND // len(jobs))
    if not prepared.trainer.describe().by_steps:
        begun = time.perf_counter()
        trained = prepared.trainer.train(jobs[:1])
        training = time.perf_counter() - begun + _asking(prepared, trained, jobs[:1])
        return rounds * training * -(-ROUND // plan.threads)
    once = Pace.of(prepared.trainer, jobs)
    return rounds * blocks * (once.seconds(1) - once.first + _asking(prepared, once.trained, once.jobs))


@dataclass(frozen=True)
class Pace:
    """How fast a block trains.

    Attributes:
        first: seconds before the first step, once. each: of every block beside its steps. step: of one step.
        steps: of one block. trained, jobs: the shortened block.
    """

    first: float
    each: float
    step: float
    steps: int
    trained: Target
    jobs: Sequence[Job]

    @classmethod
    def of(cls, trainer: Trainer, block: Sequence[Job]) -> Pace:
        """From the block with a few batches an epoch, for one epoch and for three: what they differ by is the steps."""
        recipe, rows = block[0].recipe, block[0].recipe.batch_size * CALIBRATION_STEPS
        short = [_shortened(block, rows, epochs) for epochs in (1, 1, 3)]
        times = []
        for jobs in short:
            begun = time.perf_counter()
            trained = trainer.train(jobs)
            times.append(time.perf_counter() - begun)
        batches = recipe.steps_per_epoch(min(rows, len(block[0].rows)))
        step = max(times[2] - times[1], times[2] / 30) / (2 * batches)  # other work on the machine may hide the rest
        return cls(
            first=max(times[0] - times[1], 0.0),
            each=max(times[1] - batches * step, 0.0),
            step=step,
            steps=recipe.epochs * recipe.steps_per_epoch(len(block[0].rows)),
            trained=trained,
            jobs=short[0],
        )

    def seconds(self, blocks: float) -> float:
        """Of so many blocks."""
        return self.first + blocks * (self.each + self.steps * self.step)


def _shortened(block: Sequence[Job], rows: int, epochs: int) -> list[Job]:
    recipe = replace(block[0].recipe, epochs=epochs, patience=None)
    return [replace(job, rows=job.rows[:rows], recipe=recipe, validation=None) for job in block]


def _asking(prepared: Prepared, trained: Target, jobs: Sequence[Job]) -> float:
    """Seconds that the questions to these models take, but for collectors'."""
    questions = prepared.shadow_questions
    few = replace(questions, extras=(), **{name: getattr(questions, name)[:CALIBRATION_RECORDS] for name in _ASKED})
    # What early checkpoints are asked about are places among the records, as many in proportion.
    few = replace(
        few, early=_places(few.early, few.audited), early_population=_places(few.early_population, few.population)
    )
    begun = time.perf_counter()
    collect(trained, jobs, few, vectors=True)
    return (time.perf_counter() - begun) * _records(questions) / max(1, _records(few))


def _rest(prepared: Prepared, attacks: Sequence[str]) -> float:
    """Seconds of what is neither training nor asking: imports, data, attacks, figures and the report."""
    records, models = len(prepared.roles.audited), prepared.study.shadow.count
    share = min(1.0, len(attacks) / len(choose(["default"])))
    anew = times_learned_anew(models, records) if {*LEARNING} & {*attacks} else 0
    rounds = prepared.resolved.request.rounds
    anew += rounds + 1 if rounds else 0
    learning = anew * LEARNING_SECONDS_A_RECORD * stand_in_records(models, records)
    return REST_SECONDS + share * (ATTACK_SECONDS + ATTACK_SECONDS_A_RECORD * records) + learning


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


def _places(places: Ints, records: Ints) -> Ints:
    """Those of the ``(n,)`` places that the first records are at."""
    return places[places < len(records)]


_ASKED = ("audited", "population", "test", "background")


def _records(questions: object) -> int:
    return sum(len(getattr(questions, name)) for name in _ASKED)


def _disk(prepared: Prepared, count: int) -> int:
    """Bytes of signals: two float32 and a flag for each (model, record, query), full answers of the first models."""
    questions, models = prepared.questions, 1 + count
    queries = {"none": 1, "mirror": 2, "shift18": 18}[questions.queries]
    rounds = prepared.resolved.request.cascade
    singles = (models + rounds) * (len(questions.audited) + len(questions.population)) * queries * 9
    kept = 1 + vector_models(len(questions.audited), questions.classes, models - 1) + rounds
    return singles + kept * len(questions.audited) * questions.classes * 4
