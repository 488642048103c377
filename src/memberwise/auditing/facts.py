"""The end of every audit: all its facts and figures become the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from memberwise.assess import Assessment
from memberwise.assess.bounded import BoundPart
from memberwise.assess.figures import Skipped
from memberwise.assess.notes import cascade_note, stronger_note
from memberwise.auditing.notes import GIVEN_UP, INTERRUPTED
from memberwise.auditing.prepare import Prepared
from memberwise.auditing.served_notes import endpoint_facts
from memberwise.data import Dataset
from memberwise.data.treatment import Treatment
from memberwise.errors import Note
from memberwise.report.files import write_all
from memberwise.report.result import Result
from memberwise.report.schema import AuditResult, CascadeFacts, DataFacts, ShadowFacts, TargetFacts
from memberwise.signals.schedule import ShadowRun
from memberwise.signals.steps import Step, lifted_loss
from memberwise.store.folder import RunFolder
from memberwise.study.schema import Study
from memberwise.targets.inspection import Inspection
from memberwise.types.arrays import Arrays, Ints
from memberwise.types.stages import Stages


def finish(
    study: Study,
    folder: RunFolder,
    assessment: Assessment,
    stages: Stages,
    *,
    data: DataFacts,
    target: TargetFacts,
    shadow: ShadowFacts | None,
    notes: Sequence[Note],
    encoding: Treatment | None = None,
    skipped: Sequence[Skipped] = (),
    inspection: Inspection | None = None,
    bound: BoundPart | None = None,
) -> Result:
    """Put ``result.json`` together, write the run folder and read it back.

    Args:
        skipped: attacks that were not even tried, or for another reason than the assessment knows.
        inspection: what the target's structure tells; None where it has none to look at.
    """
    reasons = {one.name: one for one in (*assessment.skipped, *skipped)}
    assessment = replace(assessment, skipped=tuple(reasons.values()))
    known = [*notes, *assessment.notes]
    stored = None if inspection is None else inspection.stored_records
    verdict, family = replace(assessment.gate, stored=stored).judge(known)
    stronger = [one.attack for one in family.stronger]
    said = {INTERRUPTED, GIVEN_UP} & {note.code for note in known}  # why there is no cascade, or less of one
    result = AuditResult.of(
        study,
        assessment,
        seconds=stages.seconds,
        data=data,
        target=target,
        shadow=shadow,
        encoding=encoding,
        inspect=None if inspection is None else inspection.findings,
        bound=bound,
        verdict=verdict,
        family=family,
        notes=[
            *known,
            *stronger_note(stronger, family.names, assessment.headline),
            *([] if said else cascade_note(study, family.decision, family.names, list(reasons))),
        ],
    )
    write_all(folder.path, result, assessment.scores, assessment.curves, stages)
    return Result.load(folder.path)


def target_facts(prepared: Prepared, arrays: Arrays, step: Step | None) -> TargetFacts:
    """The ``target`` part of the result.

    Args:
        arrays: the target's. step: of answers that come in steps: losses take no logarithm of less.
    """
    endpoint = endpoint_facts(prepared)
    source = "endpoint" if endpoint is not None else prepared.study.target.file or "given in Python"
    return TargetFacts.of(
        "trained here" if prepared.target is None else source,
        prepared.model.name,
        _quality(arrays, "train", step),
        _quality(arrays, "test", step),
        float(arrays["validation_accuracy"][0]) if "validation_accuracy" in arrays else None,
        endpoint,
        float(arrays["test_auroc"][0]) if "test_auroc" in arrays else None,
    )


def _quality(target: Arrays, part: str, step: Step | None) -> tuple[float, float]:
    """The target's accuracy and loss on its "train" or "test" records."""
    loss = lifted_loss(float(target[f"{part}_loss"][0]), target[f"{part}_tiny"][0], step)
    return float(target[f"{part}_accuracy"][0]), loss


def data_facts(prepared: Prepared) -> DataFacts:
    """The ``data`` part of the result."""
    dataset = prepared.dataset
    return DataFacts(
        source=dataset.source,
        sha256=dataset.sha256,
        records=dataset.records,
        classes=len(dataset.outputs),
        class_names=tuple(dataset.outputs),
        several_labels=True if dataset.label_sets is not None else None,
        **prepared.roles.counts,
    )


def shadow_facts(prepared: Prepared, shadows: ShadowRun, cascade: CascadeFacts | None) -> ShadowFacts:
    """The ``shadow`` part of the result."""
    arrays, study = shadows.arrays, prepared.study
    seconds = shadows.seconds + shadows.earlier
    return ShadowFacts(
        count=shadows.count,
        data=study.shadow.data,
        engine=study.engine.name,
        processors={name or "not known": models for name, models in shadows.processors.items()} or None,
        plan=dict(vars(prepared.plan)),
        seconds=round(seconds, 2),
        extra_seconds=round(shadows.asking, 3),
        models_per_second=round(shadows.count / seconds, 3) if seconds else None,
        train_accuracy=float(arrays["train_accuracy"].mean()),
        test_accuracy=float(arrays["test_accuracy"].mean()),
        resumed=shadows.resumed,
        cascade=cascade,
    )


def worst_images(dataset: Dataset, rows: Ints | None) -> Arrays:
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
