"""The audit: from a study to a result. Reads top to bottom: data, training, signals, attacks, statistics, report."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memberwise.assess import Asking, assess
from memberwise.assess.contradiction import Accuracies, contradiction_notes
from memberwise.auditing.cost import calibrate
from memberwise.auditing.facts import finish
from memberwise.auditing.prepare import Given, Prepared, prepare, with_auxiliary
from memberwise.auditing.prepare.target import stored_accuracy
from memberwise.auditing.saved import audit_saved
from memberwise.data import Dataset
from memberwise.data.preprocessing import Preprocessing
from memberwise.defences.output.policy import pack_states, write_policy
from memberwise.defences.training import defended
from memberwise.errors import TrainingError
from memberwise.models.build import is_built_in
from memberwise.report.build import accuracy_notes, target_facts
from memberwise.report.result import Result
from memberwise.signals.ask import collect, serve, take_seconds
from memberwise.signals.gather import (
    Budgeted,
    Counted,
    Gathered,
    Jobs,
    Progress,
    answers_of,
    describe_job,
    gather,
    lacking,
)
from memberwise.signals.remarks import remark_notes
from memberwise.signals.steps import Step, lift_zeros, lifted_loss, step_notes
from memberwise.signals.synthesis import synthetic_records
from memberwise.signals.table import Beside, Signals
from memberwise.store.blocks import Arrays, block_key, block_name
from memberwise.store.folder import TARGET_FORMAT, RunFolder, default_folder
from memberwise.study.duration import seconds_of
from memberwise.study.schema import Study
from memberwise.targets.models import Answering, Served, TorchModels
from memberwise.training.engines.base import StackEngine

TARGET_BLOCK = block_name(0)
INTERRUPTED = "interrupted"
SAVED_ANSWERS = "saved answers"

# What a time budget keeps back for attacks, statistics and the report.
ATTACK_SECONDS = 6.0
ATTACK_SECONDS_A_RECORD = 0.0008


class Silent:
    """Progress that nobody watches."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, done: float) -> None: ...
    def stop(self) -> None: ...


def run_audit(
    study: Study, given: Given | None = None, *, resume: bool = False, progress: Progress | None = None
) -> Result:
    """Carry out a study: train or read, attack, judge, and write the run folder.

    Raises:
        MemberwiseError: see memberwise.errors; bad input is found before anything is trained or written.
    """
    begun = time.perf_counter()
    study = with_out(defended(study))
    asking = Asking.of(study)
    folder = RunFolder(Path(str(study.run.out)), study, resume)
    given = given or Given()
    if study.outputs.file is not None:
        return audit_saved(study, given, asking, folder, begun)
    prepared = prepare(study, given, folder.plan)
    asking.check_share(prepared.roles.member)
    while True:
        try:
            return _audit_trained(prepared, given, asking, folder, begun, progress or Silent())
        except torch.OutOfMemoryError as error:
            prepared = _with_smaller_stack(prepared, given, error)


def _audit_trained(
    prepared: Prepared, given: Given, asking: Asking, folder: RunFolder, begun: float, progress: Progress
) -> Result:
    """The audit of a model that is trained here, or given, with its shadow models."""
    study = prepared.study.model_copy(update={"plan": prepared.plan.to_study()})
    with folder:
        folder.write_study(study)
        target, changed = _target_arrays(prepared, folder)
        if study.shadow.data == "synthetic":
            prepared, made = _with_synthetic(prepared, given, folder)
            changed = [*changed, made]
        jobs, asked = _jobs(prepared, begun), prepared.asked_of_shadows
        shadows = gather(prepared.engine, jobs, asked, folder.blocks, prepared.identity, progress)
        if shadows.interrupted and not shadows.count:
            raise KeyboardInterrupt
        signals, step = lift_zeros(_table(prepared, target, shadows))
        roles, dataset = prepared.roles, prepared.dataset
        units = None if roles.units is None else roles.units[roles.audited]
        assessment = assess(signals, roles.member, study, asking, prepared.seeds, dataset.classes, units)
        assessment.curves.update(_worst_images(dataset, assessment.curves.get("worst.index")))
        facts = target_facts(
            "trained here" if prepared.target is None else study.target.file or "given in Python",
            prepared.model.name,
            _quality(target, "train", step),
            _quality(target, "test", step),
            float(target["validation_accuracy"][0]) if "validation_accuracy" in target else None,
        )
        notes = [
            *prepared.notes,
            *changed,
            *prepared.engine.notes,
            *remark_notes(target, shadows.arrays),
            *step_notes(step),
            *shadows.notes,
            *_interrupted(shadows, study),
        ]
        if shadows.count:
            notes += accuracy_notes(facts, shadows.arrays["train_accuracy"], shadows.arrays["test_accuracy"])
        if prepared.target is not None:
            notes += contradiction_notes(_accuracies(prepared, facts, shadows))
        return finish(
            study,
            folder,
            assessment,
            begun,
            data=_data_facts(prepared),
            target=facts,
            shadow=_shadow_facts(prepared, shadows) if shadows.count else None,
            notes=notes,
            encoding=dataset.what_was_done(own_rows=prepared.asked.as_stored).to_dict(),
        )


def _quality(target: Arrays, part: str, step: Step | None) -> tuple[float, float]:
    """The target's accuracy and loss on its "train" or "test" records."""
    loss = lifted_loss(float(target[f"{part}_loss"][0]), target[f"{part}_tiny"][0], step)
    return float(target[f"{part}_accuracy"][0]), loss


def _with_smaller_stack(prepared: Prepared, given: Given, error: Exception) -> Prepared:
    """The same audit under a new plan: half as many models at once.

    Raises:
        TrainingError: one model alone does not fit.
    """
    stack = prepared.plan.stack
    if stack == 1:
        raise TrainingError("one model alone does not fit into the device's memory", found=str(error)) from error
    plan = prepared.plan.to_study().model_copy(update={"stack": stack // 2})
    smaller = prepare(prepared.study.model_copy(update={"plan": plan}), given)
    message = f"{stack} models at once do not fit into the device's memory: begun again with {stack // 2}"
    kept = [note for note in prepared.notes if note[0] == "out-of-memory"]
    return replace(smaller, notes=[*smaller.notes, *kept, ("out-of-memory", message)])


def with_out(study: Study) -> Study:
    """The study with its output folder settled; of saved answers it names no other source of data."""
    if study.outputs.file is not None:
        study = study.model_copy(update={"data": study.data.model_copy(update={"source": SAVED_ANSWERS})})
    if study.run.out is not None:
        return study
    return study.model_copy(update={"run": study.run.model_copy(update={"out": str(default_folder(study))})})


def _jobs(prepared: Prepared, begun: float) -> Jobs:
    """The study's number of shadow models, or as many as its budget of time allows."""
    budget, block = prepared.study.shadow.budget, prepared.engine.block
    if budget is None:
        return Counted(prepared.shadow_job, prepared.study.shadow.count, block)
    count = 1 + prepared.study.shadow.count
    reserve = ATTACK_SECONDS + ATTACK_SECONDS_A_RECORD * len(prepared.roles.audited)
    ends = begun + seconds_of(budget) - reserve
    return Budgeted(prepared.shadow_job, block, ends, calibrate(prepared) / count)


def _accuracies(prepared: Prepared, facts: dict[str, Any], shadows: Gathered) -> Accuracies:
    """What is known of a target that was given, beside its shadow models."""
    return Accuracies(
        facts["train_accuracy"],
        len(prepared.roles.members),
        facts["test_accuracy"],
        len(prepared.roles.test),
        len(prepared.dataset.classes),
        stored_accuracy(prepared.study),
        shadows.arrays["train_accuracy"] if shadows.count else np.empty(0),
    )


def _interrupted(shadows: Gathered, study: Study) -> list[tuple[str, str]]:
    if not shadows.interrupted:
        return []
    wanted = study.shadow.budget or f"{study.shadow.count} models"
    return [
        (
            INTERRUPTED,
            f"interrupted after {shadows.count} shadow models (asked for: {wanted}); the figures are of a weaker "
            "attacker; the same command continues",
        )
    ]


def target_key(prepared: Prepared) -> str:
    """The key of the target's block: it changes with data, split, recipe, code, plan and seed."""
    return block_key(job=describe_job(prepared.target_job), target=prepared.target_hash, **prepared.identity)


def _target_arrays(prepared: Prepared, folder: RunFolder) -> tuple[Arrays, list[tuple[str, str]]]:
    """The target's signals: read from its block, else trained (or asked, where it is given); and what was noticed."""
    job, key, store = prepared.target_job, target_key(prepared), folder.blocks
    arrays, problem = store.load(TARGET_BLOCK, key)
    kept = prepared.target is None and isinstance(prepared.engine, StackEngine)
    if kept and prepared.study.answer:
        write_policy(folder.path, prepared.study.answer)
    lacks = "" if arrays is None else lacking(arrays, prepared.asked)
    lost = arrays is not None and kept and folder.target_is_lost()
    if arrays is not None and not lacks and not lost:
        return arrays, []
    models: Answering = prepared.target or prepared.engine.train([job])
    arrays = collect(models, [job], prepared.asked, vectors=True)
    take_seconds(arrays)
    if prepared.target is None and isinstance(models, TorchModels):
        weights = {name: value[0] for name, value in (models.params | models.buffers).items()}
        served = serve(models, [job], prepared.asked)
        learned, lost_states = pack_states(served.defences, served.states) if isinstance(served, Served) else ({}, [])
        metadata = {**_target_metadata(prepared, arrays), "kind": models.kind, "not_kept": lost_states}
        folder.write_target(weights, metadata, Preprocessing.of(prepared.dataset).to_dict(), learned)
    store.save(TARGET_BLOCK, [key], [-1], arrays)
    again = "trained" if prepared.target is None else "asked"
    if lost:
        return arrays, [("target-restored", f"the model in {folder.path}/target was gone or changed: trained again")]
    if lacks:
        return arrays, [("target-asked-again", f"the target's block held no {lacks}: the same target, {again} again")]
    if problem is None:
        return arrays, []
    return arrays, [
        ("target-changed", f"the target is not the one of this folder's last run: {again} again ({problem})")
    ]


def _with_synthetic(prepared: Prepared, given: Given, folder: RunFolder) -> tuple[Prepared, tuple[str, str]]:
    """The audit with shadow data made by asking the target, and what that took."""
    study, job = prepared.study, prepared.target_job
    made = synthetic_records(
        lambda: prepared.target or prepared.engine.train([job]),
        job,
        prepared.asked,
        study.shadow.synthesis,
        len(prepared.roles.paired),
        folder.blocks,
        {"target": prepared.target_hash, "job": describe_job(job), **prepared.identity},
        prepared.seeds.rng("synthetic shadow data"),
    )
    short = [f"{name} ({count})" for name, count in zip(prepared.dataset.classes, made.failures, strict=True) if count]
    failed = f"; searches that failed, by class: {', '.join(short)}" if short else ""
    message = f"{len(made.y):,} shadow records were made with {made.queries:,} queries of the target{failed}"
    return with_auxiliary(prepared, given, made.x, made.y), ("synthetic-shadow-data", message)


def _target_metadata(prepared: Prepared, arrays: Arrays) -> dict[str, Any]:
    return {
        "format": TARGET_FORMAT,
        "architecture": prepared.model.name,
        "built_in": is_built_in(prepared.model),
        "model": prepared.study.model.model_dump(mode="json"),
        "answer": [defence.model_dump(mode="json") for defence in prepared.study.answer],
        "classes": list(prepared.dataset.classes),
        "record_shape": list(prepared.dataset.shape),
        "train_accuracy": float(arrays["train_accuracy"][0]),
        "test_accuracy": float(arrays["test_accuracy"][0]),
        "data_sha256": prepared.dataset.sha256,
    }


def _table(prepared: Prepared, target: Arrays, shadows: Gathered) -> Signals:
    """The table of signals from the target's and the shadow models' arrays."""
    dataset, roles = prepared.dataset, prepared.roles
    own = answers_of(target, "audited")
    if own is None:
        raise ValueError("the target was asked about the audited records")
    jobs = [prepared.shadow_job(k) for k in range(shadows.count)]
    trained_on = np.array([np.isin(roles.audited, job.rows) for job in jobs], np.int8)
    answers = answers_of(shadows.arrays, "auxiliary")
    seen = np.array([np.isin(roles.auxiliary, job.rows) for job in jobs], np.int8)
    return Signals(
        index=roles.audited,
        labels=dataset.y[roles.audited],
        target=own,
        shadows=answers_of(shadows.arrays, "audited"),
        trained_on=trained_on.reshape(len(jobs), len(roles.audited)),
        population_target=answers_of(target, "population"),
        population_shadows=answers_of(shadows.arrays, "population"),
        beside=None if answers is None else Beside(answers, dataset.y[roles.auxiliary], seen),
        population_labels=dataset.y[roles.population] if len(roles.population) else None,
        groups=None if dataset.groups is None else dataset.groups[roles.audited],
        features=dataset.x,
        population_index=roles.population if len(roles.population) else None,
    )


def _data_facts(prepared: Prepared) -> dict[str, Any]:
    dataset = prepared.dataset
    return {
        "source": dataset.source,
        "sha256": dataset.sha256,
        "records": dataset.records,
        "classes": len(dataset.classes),
        "class_names": list(dataset.classes),
        **prepared.roles.counts,
    }


def _shadow_facts(prepared: Prepared, shadows: Gathered) -> dict[str, Any]:
    arrays, study = shadows.arrays, prepared.study
    seconds = shadows.seconds + shadows.earlier
    return {
        "count": shadows.count,
        "data": study.shadow.data,
        "engine": study.shadow.engine,
        "plan": vars(prepared.plan),
        "seconds": round(seconds, 2),
        "extra_seconds": round(shadows.asking, 3),
        "models_per_second": round(shadows.count / seconds, 3) if seconds else None,
        "train_accuracy": float(arrays["train_accuracy"].mean()),
        "test_accuracy": float(arrays["test_accuracy"].mean()),
        "resumed": shadows.resumed,
    }


def _worst_images(dataset: Dataset, rows: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
    """Thumbnails of the most exposed records, ``(w, H, W)`` or ``(w, H, W, 3)`` uint8, where records are images."""
    if rows is None or dataset.kind != "image":
        return {}
    x = dataset.x[rows]
    if x.dtype != np.uint8:
        low, high = float(dataset.x.min()), float(dataset.x.max())
        x = ((x - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    if x.ndim == 4:
        x = x[:, 0] if x.shape[1] == 1 else np.moveaxis(x[:, :3], 1, -1)
    return {"worst.image": x}
