"""The target: trained or asked, its arrays kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np

from memberwise.auditing.prepare import Prepared
from memberwise.data.preprocessing import Preprocessing
from memberwise.defences.output.policy import pack_states, write_policy
from memberwise.errors import MemberwiseError, Note
from memberwise.models.build import is_built_in
from memberwise.signals.ask import collect, serve, take_seconds
from memberwise.signals.codec import lacking
from memberwise.store.blocks import block_key, block_name
from memberwise.store.folder import TARGET_FORMAT, RunFolder
from memberwise.targets.base import Target
from memberwise.targets.ensembles import Ensembles
from memberwise.targets.estimators import EstimatorModels
from memberwise.targets.inspection import Inspection, inspect
from memberwise.targets.models import TorchModels
from memberwise.training.job import describe_job
from memberwise.training.trace import traced_epochs
from memberwise.types.arrays import Arrays
from memberwise.types.parts import from_plain, to_plain

TARGET_BLOCK, TRACE, EPOCHS = block_name(0), "trace.losses", "trace.epochs"
INSPECTION = "inspection"


def target_key(prepared: Prepared) -> str:
    """The key of the target's block: it changes with data, split, recipe, code, plan and seed."""
    return block_key(job=describe_job(prepared.target_job), target=prepared.target_hash, **prepared.target_identity)


@dataclass(frozen=True)
class TargetRun:
    """The target's arrays (as ``signals.ask.collect`` gives them), and what was noticed, as (code, message)."""

    arrays: Arrays
    notes: list[Note] = field(default_factory=list)


def gather_target(prepared: Prepared, folder: RunFolder, traced: bool = False) -> TargetRun:
    """The target's signals: read from its block, else trained (or asked, where it is given).

    Args:
        traced: with ``trace.losses``, what ``training.trace`` keeps of the losses of ``target_job.rows``, the model
            first, and ``trace.epochs``; empty where no network is trained here in one training.
    """
    job, key, store = prepared.target_job, target_key(prepared), folder.blocks
    arrays, problem = store.load(TARGET_BLOCK, key)
    kept = prepared.target is None and prepared.target_trainer.describe().keeps_weights
    if kept and prepared.study.answer:
        write_policy(folder.path, prepared.study.answer)
    missing = "" if arrays is None else lacking(arrays, prepared.questions)
    if arrays is not None and traced and prepared.target is None and EPOCHS not in arrays:
        missing = ", ".join(filter(None, [missing, "loss trace"]))
    lost = arrays is not None and kept and folder.target_is_lost()
    if arrays is not None and not missing and not lost:
        return TargetRun(arrays)
    models: Target = prepared.target or prepared.target_trainer.train([replace(job, traced=traced)])
    arrays = collect(models, [job], prepared.questions, vectors=True)
    take_seconds(arrays)
    if isinstance(models, EstimatorModels):
        arrays[INSPECTION] = np.array([_inspected(models, prepared)])
    if traced and prepared.target is None:
        networks = models.white_box
        traces = networks.traces if isinstance(networks, TorchModels) else None
        arrays[TRACE] = np.empty((1, 0, 0), np.float32) if traces is None else traces
        convolves = networks is not None and networks.network.convolves
        arrays[EPOCHS] = traced_epochs(job.recipe.epochs, convolves, job.step.tells_losses)
    weights = models.weights()
    if prepared.target is None and weights is not None:
        served = serve(models, [job], prepared.questions)
        learned, lost_states = pack_states(served.defences, served.states)
        metadata = {**_target_metadata(prepared, arrays), "kind": models.kind, "not_kept": lost_states}
        worlds = models.size if isinstance(models, Ensembles) else None
        folder.write_target(weights, metadata, Preprocessing.of(prepared.dataset).to_dict(), learned, worlds)
    store.save(TARGET_BLOCK, [key], [-1], arrays)
    again = "trained" if prepared.target is None else "asked"
    if lost:
        message = f"the model in {folder.path}/target was gone or changed: trained again"
        return TargetRun(arrays, [Note("target-restored", message)])
    if missing:
        message = f"the target's block held no {missing}: the same target, {again} again"
        return TargetRun(arrays, [Note("target-asked-again", message)])
    if problem is None:
        return TargetRun(arrays)
    message = f"the target is not the one of this folder's last run: {again} again ({problem})"
    return TargetRun(arrays, [Note("target-changed", message)])


def _inspected(models: EstimatorModels, prepared: Prepared) -> str:
    """What the estimator's structure tells, as JSON; empty where it cannot be looked into."""
    try:
        inspection = inspect(models.estimators[0], records=len(prepared.target_job.rows))
    except MemberwiseError:
        return ""
    return json.dumps(to_plain(inspection))


def inspection_of(arrays: Arrays) -> Inspection | None:
    """What was found in the target's structure, from its arrays; None where it was not looked at."""
    text = str(arrays[INSPECTION][0]) if INSPECTION in arrays else ""
    return from_plain(Inspection, json.loads(text)) if text else None


def _target_metadata(prepared: Prepared, arrays: Arrays) -> dict[str, object]:
    return {
        "format": TARGET_FORMAT,
        "architecture": prepared.model.name,
        "built_in": is_built_in(prepared.model),
        "model": prepared.study.model.model_dump(mode="json"),
        "answer": [defence.model_dump(mode="json") for defence in prepared.study.answer],
        "classes": list(prepared.dataset.outputs),
        "several_labels": prepared.dataset.label_sets is not None,
        "record_shape": list(prepared.dataset.shape),
        "train_accuracy": float(arrays["train_accuracy"][0]),
        "test_accuracy": float(arrays["test_accuracy"][0]),
        "data_sha256": prepared.dataset.sha256,
    }
