"""Ask models about records, once or with several queries, and keep only what the table of signals needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np

from memberwise.defences.output.bounded import BoundSpent, bounded_defence
from memberwise.defences.output.served import DefendedTarget
from memberwise.errors import TrainingError
from memberwise.signals.bounded import bound_arrays
from memberwise.signals.codec import _fields
from memberwise.signals.collectors.own import check_extra
from memberwise.signals.collectors.registry import collector_key, is_built_in
from memberwise.signals.label_sets import mean_auroc
from memberwise.signals.questions import Access, Questions
from memberwise.signals.read import read_answers
from memberwise.signals.steps import find_step, tiny
from memberwise.signals.table import Answers
from memberwise.signals.views import query_views
from memberwise.targets.asking import BudgetSpent
from memberwise.targets.base import Target
from memberwise.targets.models import Lifted
from memberwise.targets.user_errors import wrap_user_errors
from memberwise.training.job import Job
from memberwise.types.arrays import Array, Arrays, Ints, Records

# Values of answers, and of the records that are asked about, held at once while asking.
CHUNK_VALUES = 8_000_000
SECONDS = "extra.seconds"
# On so many records it is seen whether a model's answers come in steps, where output defences stand before it.
FEW_RECORDS = 500


def collect(
    models: Target, jobs: Sequence[Job], questions: Questions, vectors: bool, numbers: Mapping[int, int] | None = None
) -> Arrays:
    """Everything kept of a block of models; each array's first dimension is the model.

    With ``vectors`` full answers on the audited records are kept. Keys ``audited.*`` and ``population.*`` are the
    fields of ``Answers``; ``train_accuracy``, ``test_accuracy``, ``train_loss``, ``test_loss`` (and, where there are
    such records, ``validation_accuracy``) are ``(m,)``. What collectors gather is under ``audited.extra.NAME``, and
    ``extra.NAME`` says with which parameters; ``extra.seconds`` is what that took, in equal parts, and no signal
    (``take_seconds``).

    Args:
        numbers: from a job's seed to its shadow model's number; collectors ask the first models only. None: all.
    """
    served = serve(models, jobs, questions)
    kept = questions.temperatures
    audited = ask_about(served, questions, questions.audited, questions.queries, vectors, kept)
    _refuse_nan(audited, jobs, numbers)
    arrays = _fields("audited", audited)
    if len(questions.population):
        world = ask_about(served, questions, questions.population, questions.queries, vectors, kept)
        arrays |= _fields("population", world)
    members = np.stack([np.isin(questions.audited, job.rows) for job in jobs])
    correct, loss = right(audited), -audited.log_p[:, :, 0]
    weights = members.astype(np.float64)
    if len(questions.background):
        background = ask_about(served, questions, questions.background, "none", False)
        seen = np.stack([np.isin(questions.background, job.rows) for job in jobs]) * questions.background_weight
        correct = np.concatenate([correct, right(background)], 1)
        loss, weights = np.concatenate([loss, -background.log_p[:, :, 0]], 1), np.concatenate([weights, seen], 1)
    test = ask_about(served, questions, questions.test, "none", questions.y.ndim == 2)
    unseen = np.stack([~np.isin(questions.test, job.rows) for job in jobs])
    if questions.auxiliary is not None:
        arrays |= _fields("auxiliary", ask_about(served, questions, questions.auxiliary, "none", vectors))
    if questions.validation is not None:
        chosen_on = ask_about(served, questions, questions.validation, "none", False)
        arrays["validation_accuracy"] = right(chosen_on).mean(1)
    if "margins" in test.extra:
        true_labels = questions.y[questions.test]
        true_labels = true_labels if questions.only is None else true_labels[:, [questions.only]]
        arrays["test_auroc"] = mean_auroc(test.extra["margins"], true_labels, unseen)
    begun = time.perf_counter()  # last: they may use up what a budget grants
    arrays |= collect_extras(models, served, jobs, questions, numbers)
    if questions.extras:
        arrays[SECONDS] = np.full(len(jobs), (time.perf_counter() - begun) / len(jobs))
    if any(job.early for job in jobs) and models.early:
        arrays |= _of_early(models.early, sum(job.early for job in jobs), questions)
    if numbers is None:
        arrays |= bound_arrays(models, served, questions)
    return arrays | {
        "train_accuracy": (correct * weights).sum(1) / weights.sum(1),
        "train_loss": (loss.astype(np.float64) * weights).sum(1) / weights.sum(1),
        "test_accuracy": (right(test) * unseen).sum(1) / unseen.sum(1).clip(1),
        # What of these losses is the logarithm of a 0: settled once the target and the shadow models are at hand.
        "train_tiny": tiny(-loss, weights),
        "test_tiny": tiny(test.log_p[:, :, 0], unseen.astype(np.float64)),
        "test_loss": -(test.log_p[:, :, 0].astype(np.float64) * unseen).sum(1) / unseen.sum(1).clip(1),
        "saturated": np.full(len(models), audited.saturated),
        "kind": np.full(len(models), served.kind),
        "remarks": np.full(len(models), " ".join(models.remarks)),
    }


def _of_early(checkpoints: Sequence[Target], count: int, questions: Questions) -> Arrays:
    """What the first models of a stack answered after a part of their training, and about which records (positions)."""
    arrays: Arrays = {}
    positions_by_role = {
        "": (questions.audited, questions.early),
        ".population": (questions.population, questions.early_population),
    }
    for name, (rows, positions) in positions_by_role.items():
        arrays[f"early{name}.positions"] = np.tile(positions, (count, 1))
        for number, models in enumerate(checkpoints, 1):
            if len(positions):
                answers = ask_about(models, questions, rows[positions], questions.queries, True)
                answers = answers.of_models(np.arange(count))
                arrays |= _fields(f"early{number}{name}", answers)
    return arrays


def right(answers: Answers) -> Array:
    """``(m, n)``: whether the first query's answer is right; of several labels, the share that is."""
    return answers.extra.get("labels right", answers.correct[:, :, 0])


def _refuse_nan(audited: Answers, jobs: Sequence[Job], numbers: Mapping[int, int] | None) -> None:
    """Raise TrainingError where a model answers no numbers: figures made from them would mean nothing."""
    if audited.kind == "labels":
        return
    bad = np.isnan(audited.log_p).any(2).sum(1)
    for job, count in zip(jobs, bad, strict=True):
        if count:
            who = "the target" if numbers is None else f"shadow model {numbers[job.seed] + 1}"
            raise TrainingError(
                f"{who} answers NaN or infinity",
                expected="a number for every class",
                found=f"{count:,} of {audited.records:,} audited records without",
                fix="a smaller training.learning_rate; or look into the model's forward, or its predict function",
            )


def collect_extras(
    models: Target, served: Target, jobs: Sequence[Job], questions: Questions, numbers: Mapping[int, int] | None = None
) -> Arrays:
    """What the collectors gather of the models; arrays hold the first of them only, where not all are asked.

    A model that fails on a collector's altered records (an index out of its range, say) cannot be asked so, which the
    attack is skipped for.

    Raises:
        TrainingError: a collector of the user's own fails.
    """
    arrays: Arrays = {}
    for collector in questions.extras:
        count = sum(numbers is None or numbers[job.seed] < questions.models_of(collector) for job in jobs)
        if not count:
            continue
        arrays[f"extra.{collector.name}"] = np.full(count, collector_key(collector))
        access = Access(count, served, models)
        name = collector.name
        with (
            nullcontext() if is_built_in(collector) else wrap_user_errors(f"the collector {name}", where="attacks.use")
        ):
            try:
                extra = collector.collect(access, questions)
            except (BudgetSpent, BoundSpent):  # it may be asked when more is granted: nothing says that it was
                del arrays[f"extra.{name}"]
                continue
            except TrainingError:
                continue
            check_extra(extra, name, count, len(questions.audited))
        if extra is not None:
            arrays[f"audited.extra.{collector.name}"] = extra.values
            arrays[f"audited.extra.{collector.name}.queries"] = extra.queries
    return arrays


def take_seconds(arrays: Arrays) -> float:
    """How long collectors asked these models, taken out of their arrays: a run's signals do not depend on it."""
    return float(np.sum(arrays.pop(SECONDS, 0.0)))


def serve(models: Target, jobs: Sequence[Job], questions: Questions) -> DefendedTarget:
    """The models behind the study's output defences, each fitted on the model's own members."""
    reference = None if questions.reference is None else questions.records(questions.reference)
    seeds = [job.seed for job in jobs]
    return DefendedTarget.fitted(
        _lifted(models, questions) if questions.defences else models,
        questions.defences,
        lambda i: questions.records(jobs[i].rows),
        reference,
        questions.key,
        seeds,
    )


def _lifted(models: Target, questions: Questions) -> Target:
    """The models with 0 as half a step where a model's answers come in steps: output defences take logarithms too.

    Each model's own, read off a few audited records: the target's defence knows nothing of shadow models.
    """
    if models.kind != "probabilities":
        return models
    rows = questions.audited[:FEW_RECORDS]
    raw = models.predict(questions.records(rows))[:, :, None]
    steps = [
        find_step(read_answers(raw[i : i + 1], questions.y[rows], models.kind, temperatures=()))
        for i in range(len(models))
    ]
    floors = np.array([0.0 if step is None else step.floor for step in steps])
    return Lifted(models, floors) if floors.any() else models


def ask_about(
    models: Target,
    questions: Questions,
    rows: Ints,
    queries: str,
    vectors: bool,
    temperatures: Sequence[float] = (),
) -> Answers:
    """``Answers`` of the models about rows, in chunks of records so that memory stays bounded.

    Args:
        models: ``m`` of them. rows: ``(n,)`` row numbers. queries: name of the views. vectors: keep full answers.
        temperatures: at which phi is kept.
    """
    views = query_views(queries)
    # Answers with a bound depend a little on what was asked before: the order is not to depend on who stands beside.
    side_by_side = 1 if bounded_defence(questions.defences) else len(models)
    per_record = side_by_side * len(views) * questions.classes
    step = max(1, CHUNK_VALUES // max(per_record, questions.x[0].size))
    parts = []
    for first in range(0, len(rows), step):
        chunk = rows[first : first + step]
        x = questions.records(chunk)
        raw = np.stack([_answers(models, np.array(view(x), order="C")) for view in views], axis=2)
        with np.errstate(invalid="ignore"):  # what is no number is told by name, see _refuse_nan
            true_labels = questions.y[chunk]
            if questions.only is not None:
                raw, true_labels = raw[..., [questions.only]], true_labels[:, [questions.only]]
            parts.append(read_answers(raw, true_labels, models.kind, None if vectors else 0, temperatures=temperatures))
    return join_records(parts)


def _answers(models: Target, x: Records) -> Array:
    """``(m, n, C)`` answers, or ``(m, n)`` labels; where a user's own output defence gives them, of the right form.

    Raises:
        TrainingError: that defence fails, or answers in another shape or with NaN.
    """
    users_code = models.users_code
    if users_code is None:
        return models.predict(x)
    with wrap_user_errors(users_code, where="answer"):
        answers = np.asarray(models.predict(x))
        form = (len(models), len(x)) if models.kind == "labels" else (len(models), len(x), "classes")
        if answers.ndim != len(form) or answers.shape[:2] != form[:2]:
            raise ValueError(f"its answers are of shape {answers.shape}, where {form} is expected")
        if models.kind != "labels" and np.isnan(answers).any():
            raise ValueError("it answers NaN")
    return answers


def join_records(parts: Sequence[Answers]) -> Answers:
    """Answers about consecutive chunks of records, as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    vectors = None if first.vectors is None else np.concatenate([p.vectors for p in parts if p.vectors is not None], 1)
    records = sum(p.records for p in parts)
    return Answers(
        np.concatenate([p.log_p for p in parts], 1),
        np.concatenate([p.log_1mp for p in parts], 1),
        np.concatenate([p.correct for p in parts], 1),
        vectors,
        first.kind,
        extra={name: np.concatenate([p.extra[name] for p in parts], 1) for name in first.extra},
        saturated=sum(p.saturated * p.records for p in parts) / records,
        tempered={key: np.concatenate([p.tempered[key] for p in parts], 1) for key in first.tempered},
    )
