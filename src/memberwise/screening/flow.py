"""The screen: the one training that has to be done anyway, its losses, and who is probably at risk. No shadow model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.assess.records import one_of_each
from memberwise.auditing.cost import calibrate
from memberwise.auditing.facts import data_facts, target_facts
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import ResolvedStudy, resolve
from memberwise.auditing.saved import saved_model
from memberwise.auditing.served import ask_served, finish_served
from memberwise.auditing.table import signals_table
from memberwise.defences.output.registry import kind_behind
from memberwise.errors import Note, StudyError
from memberwise.report.redact import holds_records
from memberwise.report.schema import AuditWarning, DataFacts, TargetFacts
from memberwise.screening.rank import Trained, advice, ranked, ranking_of, signs_of
from memberwise.screening.schema import RankedRecord, ScreenResult
from memberwise.screening.trust import trust_in
from memberwise.seeds import Seeds
from memberwise.signals.progress import Progress, Silent
from memberwise.signals.schedule import ShadowRun
from memberwise.signals.steps import lift_zeros
from memberwise.store.files import json_values, to_json, write_text
from memberwise.store.folder import RunFolder
from memberwise.study.schema import AttacksConfig, GateConfig, Study
from memberwise.types.arrays import Floats, Ints, Mask
from memberwise.types.parts import Plain

LISTED = 12


@dataclass(frozen=True)
class Screen:
    """What ``memberwise screen`` found; ``facts`` is ``screen.json``, ``table`` is ``screen.csv``."""

    facts: Plain
    table: pd.DataFrame
    folder: Path | None

    @property
    def parts(self) -> ScreenResult:
        """``facts`` as objects."""
        return ScreenResult.from_dict(self.facts)

    def to_json(self) -> str:
        return to_json(self.facts)


@dataclass(frozen=True)
class _Screened:
    """What a screen rests on.

    Attributes:
        losses: ``(n,)`` of the audited records, in nats. member, units: ``(n,)`` likewise; units where there are some.
        trained: the records that the target trained on.
    """

    data: DataFacts
    target: TargetFacts
    losses: Floats
    member: Mask
    units: Ints | None
    trained: Trained
    class_names: Sequence[str]
    epochs: tuple[int, ...]
    notes: Sequence[Note]


def run_screen(
    study: Study, inputs: Inputs | None = None, *, resume: bool = False, progress: Progress | None = None
) -> Screen:
    """Train the target (or ask the one that is given), rank the records it trained on, and write the run folder.

    The folder is the audit's: ``memberwise audit`` of the same study goes on there and does not train the target again.

    Raises:
        MemberwiseError: bad input, before anything is trained.
    """
    begun, inputs = time.perf_counter(), inputs or Inputs()
    resolved = _resolved(study)
    folder = RunFolder(resolved.folder, resolved.study, resume)
    if resolved.of_saved_answers:
        with folder:
            folder.write_study(_as_asked(resolved.study, study))
            return _written(_of_saved(resolved, inputs), resolved.study, study, folder.path, begun)
    prepared = prepare(resolved, inputs, folder.plan)
    _check_sides(prepared.roles.member)
    with folder:
        folder.write_study(_as_asked(prepared.study, study))
        screened = _trained_here(prepared, folder, progress or Silent())
        return _written(screened, prepared.study, study, folder.path, begun)


def expected_seconds(study: Study, inputs: Inputs | None = None) -> tuple[int, float]:
    """How many records the target trains on, and about how many seconds that and its answers take on this machine.

    Raises:
        StudyError: nothing is trained.
    """
    if study.outputs.file is not None:
        raise StudyError("saved answers cost no training: there is nothing to estimate", where="--dry-run")
    prepared = prepare(_resolved(study), inputs or Inputs())
    models = prepared.study.shadow.count + (prepared.target is None)
    alone = replace(prepared, plan=replace(prepared.plan, stack=1))
    seconds = calibrate(alone) / models if prepared.target is None else 0.0
    return len(prepared.target_job.rows), seconds


def _resolved(study: Study) -> ResolvedStudy:
    """The study with no attack but the loss attack, which takes one model's answers."""
    if study.canaries.count:
        raise StudyError(
            "a screen is about the records themselves, and the study audits canaries",
            where="canaries.count",
            fix="leave canaries out, or memberwise audit",
        )
    resolved = resolve(study.model_copy(update={"attacks": AttacksConfig(use=("loss",)), "gate": GateConfig()}))
    if study.answer and kind_behind(resolved.output_defences, "logits") == "labels":
        raise _no_losses("answer")
    return resolved


def _no_losses(where: str) -> StudyError:
    """Labels alone have no losses."""
    return StudyError(
        "a screen reads losses, and the answers are labels",
        expected="scores, probabilities or logits",
        where=where,
        fix="leave the output defence out, as a screen is about training; or memberwise audit",
    )


def _as_asked(carried_out: Study, study: Study) -> Study:
    """The study that is kept: with the attacks and rules that an audit in this folder goes on with."""
    return carried_out.model_copy(update={"attacks": study.attacks, "gate": study.gate})


def _check_sides(member: Mask) -> None:
    if not member.any() or member.all():
        raise StudyError(
            "a screen needs records that the target trained on and others",
            found=f"{int(member.sum()):,} members, {int((~member).sum()):,} non-members",
            where="data.members, data.nonmembers",
        )


def _trained_here(prepared: Prepared, folder: RunFolder, progress: Progress) -> _Screened:
    """The target trained with its loss trace, or asked where it is given."""
    prepared, target = ask_served(prepared, folder, progress, traced=True)
    finish_served(prepared)
    signals, step = lift_zeros(signals_table(prepared, target.arrays, ShadowRun()))
    if signals.target.kind == "labels":
        raise _no_losses("target")
    losses = -signals.target.log_p[0, :, 0].astype(np.float64)
    roles, dataset, job = prepared.roles, prepared.dataset, prepared.target_job
    quantiles = target.arrays["trace.losses"][0] if "trace.losses" in target.arrays else np.empty((0, 0))
    if quantiles.size:
        trained = Trained.of_trace(job.rows, dataset.y[job.rows], quantiles)
        if not prepared.study.answer:  # an output defence's answers are not the network's
            trained = trained.ending(roles.audited, losses)
        epochs = target.arrays["trace.epochs"]
    else:
        members = roles.audited[roles.member]
        trained = Trained(members, dataset.y[members], losses[roles.member])
        epochs = np.empty(0, np.int64)
    return _Screened(
        data_facts(prepared),
        target_facts(prepared, target.arrays, step),
        losses,
        roles.member,
        roles.audited_units,
        trained,
        dataset.classes,
        tuple(int(epoch) + 1 for epoch in epochs),
        [*prepared.notes, *target.notes],
    )


def _of_saved(resolved: ResolvedStudy, inputs: Inputs) -> _Screened:
    """The answers of a model that were saved: no trace, so the loss of the end ranks."""
    saved = saved_model(resolved, inputs)
    _check_sides(saved.member)
    if saved.signals.target.kind == "labels":
        raise _no_losses("outputs.file")
    losses = -saved.signals.target.log_p[0, :, 0].astype(np.float64)
    rows, labels = saved.signals.index[saved.member], saved.signals.labels[saved.member]
    trained = Trained(rows, labels, losses[saved.member])
    return _Screened(saved.data, saved.facts, losses, saved.member, None, trained, saved.classes, (), saved.notes)


def _written(screened: _Screened, carried_out: Study, study: Study, folder: Path, begun: float) -> Screen:
    """Rank, judge, and write ``screen.csv`` and ``screen.json``, the latter last."""
    confidence, wishes = study.statistics.confidence, study.report
    table = ranked(screened.trained, screened.class_names)
    evaluated = np.ones(len(screened.member), bool)
    if screened.units is not None:
        evaluated = one_of_each(screened.units, Seeds(study.run.seed).rng("one record of each unit"))
    signs = signs_of(screened.losses[evaluated], screened.member[evaluated], confidence)
    ranking = ranking_of(screened.trained, screened.epochs)
    redacted = wishes.redact or wishes.redact_scores
    first = table.head(0 if redacted else LISTED)
    result = ScreenResult(
        study=_as_asked(carried_out, study).to_dict(),
        seed=study.run.seed,
        seconds=round(time.perf_counter() - begun, 2),
        data=screened.data,
        target=screened.target,
        ranking=ranking,
        signs=signs,
        advice=advice(signs, confidence),
        trust=trust_in(ranking.by),
        most_exposed=tuple(_listed(first)),
        warnings=tuple(AuditWarning(code, message) for code, message in screened.notes),
    )
    if wishes.redact_scores:
        table = table.drop(columns=["index", "label"])
    facts = json_values(result.to_dict())
    text = str(table.to_csv(index=False, na_rep="", lineterminator="\n"))
    write_text(folder / "screen.csv", text, private=True)
    write_text(folder / "screen.json", to_json(facts), private=holds_records(facts))
    return Screen(facts, table, folder)


def _listed(table: pd.DataFrame) -> list[RankedRecord]:
    """Rows of the ranking as parts."""
    ranges = table["loss_range"].to_numpy(np.float64)
    return [
        RankedRecord(
            rank=int(table["rank"].iloc[i]),
            index=int(table["index"].iloc[i]),
            label=str(table["label"].iloc[i]),
            loss_range=None if np.isnan(ranges[i]) else float(ranges[i]),
            loss=float(table["loss"].iloc[i]),
        )
        for i in range(len(table))
    ]
