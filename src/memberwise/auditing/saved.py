"""The audit of saved answers: no model is trained or asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memberwise.assess import assess
from memberwise.assess.contradiction import Accuracies, contradiction_notes
from memberwise.assess.notes import accuracy_notes
from memberwise.auditing.facts import finish
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.resolve import ResolvedStudy
from memberwise.errors import Note, StudyError
from memberwise.report.result import Result
from memberwise.report.schema import DataFacts, ShadowFacts, TargetFacts
from memberwise.seeds import Seeds
from memberwise.signals.ask import right
from memberwise.signals.saved.answers import SavedAnswers, read_shadows, read_target
from memberwise.signals.saved.files import read_saved_file
from memberwise.signals.saved.labels import plain
from memberwise.signals.saved.table import signals_from_saved
from memberwise.signals.steps import lift_zeros, step_notes
from memberwise.signals.table import Signals
from memberwise.store.folder import TURNS, RunFolder
from memberwise.study.schema import Study
from memberwise.types.arrays import Array, Mask
from memberwise.types.stages import Stages


@dataclass(frozen=True)
class SavedModel:
    """A model's saved answers, by themselves.

    Attributes:
        signals: without shadow models. member: ``(n,)``. facts, data: as ``result.json`` holds them.
    """

    signals: Signals
    member: Mask
    classes: Sequence[str]
    facts: TargetFacts
    data: DataFacts
    notes: Sequence[Note]


def saved_model(resolved: ResolvedStudy, inputs: Inputs) -> SavedModel:
    """What was saved of the target alone."""
    where = str(resolved.study.outputs.file)
    _refuse_more(resolved.study)
    arrays = read_saved_file(where, label=resolved.study.data.label) if inputs.outputs is None else inputs.outputs
    target = read_target(arrays, where)
    asked = resolved.study.attacks
    signals, step = lift_zeros(signals_from_saved(target, None, asked.label, asked.temperature))
    if target.member is None:
        raise ValueError("a target's file tells who is a member")
    facts = TargetFacts.of(f"saved {signals.target.kind}", None, *_quality(signals, target.member))
    data = _data_facts(where, digest(arrays, {}), target, signals)
    notes = [*getattr(arrays, "notes", ()), *target.notes, *step_notes(step)]
    return SavedModel(signals, target.member, target.classes, facts, data, notes)


def _refuse_more(study: Study) -> None:
    if study.answer or study.queries != "none":
        raise StudyError(
            "saved answers are audited as they are: no output defence and no query can be added to them",
            where="answer" if study.answer else "queries",
        )


def _data_facts(source: str, sha256: str, target: SavedAnswers, signals: Signals) -> DataFacts:
    several, population = target.label_sets, signals.population_target
    names = target.classes if several is None else several.names
    members = int(target.member.sum()) if target.member is not None else 0
    return DataFacts(
        source=source,
        sha256=sha256,
        records=signals.records,
        classes=len(names),
        class_names=tuple(names),
        several_labels=None if several is None else True,
        members=members,
        nonmembers=signals.records - members,
        background=0,
        population=0 if population is None else population.records,
    )


def audit_saved(resolved: ResolvedStudy, inputs: Inputs, folder: RunFolder, stages: Stages) -> Result:
    """The audit of saved answers."""
    study, request = resolved.study, resolved.request
    where, place = str(study.outputs.file), study.outputs.shadow_file
    _refuse_more(study)
    arrays = read_saved_file(where, label=study.data.label) if inputs.outputs is None else inputs.outputs
    shadow_arrays = inputs.shadow_outputs
    if shadow_arrays is None and place is not None:
        shadow_arrays = read_saved_file(place, shadows=True)
    target = read_target(arrays, where)
    shadows = None if shadow_arrays is None else read_shadows(shadow_arrays, target, place or "shadow outputs")
    signals, step = lift_zeros(signals_from_saved(target, shadows, study.attacks.label, study.attacks.temperature))
    if target.member is None:
        raise ValueError("a target's file tells who is a member")
    request.check_share(target.member)
    own_quality, other_quality = _quality(signals, target.member)
    facts = TargetFacts.of(f"saved {signals.target.kind}", None, own_quality, other_quality)
    notes = [
        *getattr(arrays, "notes", ()),
        *target.notes,
        *step_notes(step),
        *(() if shadows is None else shadows.notes),
    ]
    shadow_accuracies = np.empty(0)
    if shadows is not None and shadows.raw is not None and signals.shadows is not None:
        correct = right(signals.shadows)
        usable = signals.is_in.any(1) & signals.is_out.any(1)
        if usable.any():
            train, test = (
                (correct & side).sum(1)[usable] / side.sum(1)[usable] for side in (signals.is_in, signals.is_out)
            )
            notes += accuracy_notes((own_quality[0], other_quality[0]), train, test)
            shadow_accuracies = train
    several = target.label_sets is not None
    outputs = target.classes if target.label_sets is None else target.label_sets.names
    members = int(target.member.sum())
    nonmembers = len(target.member) - members
    accuracies = Accuracies(
        own_quality[0], members, other_quality[0], nonmembers, 2 if several else len(outputs), None, shadow_accuracies
    )
    notes += contradiction_notes(accuracies)
    with folder:
        folder.write_study(study)
        stages.over("data")
        assessment = assess(
            signals,
            target.member,
            study,
            request,
            Seeds(study.run.seed),
            target.classes,
            kept=folder.path / TURNS,
            stages=stages,
        )
        return finish(
            study,
            folder,
            assessment,
            stages,
            data=_data_facts(where, digest(arrays, shadow_arrays or {}), target, signals),
            target=facts,
            shadow=None if shadows is None else _shadow_facts(signals, logs_alone=shadows.raw is None),
            notes=notes,
        )


def _quality(signals: Signals, member: Mask) -> tuple[tuple[float, float], tuple[float, float]]:
    """The target's (accuracy, loss) on members and on non-members."""
    correct, loss = right(signals.target)[0], -signals.target.log_p[0, :, 0].astype(np.float64)
    members, nonmembers = ((float(correct[side].mean()), float(loss[side].mean())) for side in (member, ~member))
    return members, nonmembers


def digest(*files: Mapping[str, Array]) -> str:
    """SHA-256 over the content of arrays, by name."""
    digest = hashlib.sha256()
    for arrays in files:
        for name in sorted(arrays):
            values = np.ascontiguousarray(plain(arrays[name]))
            values = values.astype(str) if values.dtype.hasobject else values
            digest.update(f"{name} {values.dtype} {values.shape}\n".encode() + values.tobytes())
    return digest.hexdigest()


def _shadow_facts(signals: Signals, logs_alone: bool) -> ShadowFacts | None:
    if signals.shadows is None:
        return None
    correct = right(signals.shadows)

    def share(side: Mask) -> float | None:
        return float(correct[side].mean()) if side.any() and not logs_alone else None

    return ShadowFacts(
        count=signals.shadows.models,
        data="saved",
        train_accuracy=share(signals.is_in),
        test_accuracy=share(signals.is_out),
    )
