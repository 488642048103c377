"""The frontier: every chosen defence trained, audited adaptively, and compared; one recommended and audited again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memberwise.auditing.cost import estimate_cost
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.defences.output.policy import write_policy
from memberwise.errors import MemberwiseError, Note, RunFolderError, StudyError, TrainingError
from memberwise.frontier.attackers import affordable, label_only_attacks, met_by
from memberwise.frontier.choose import Choice, Constraint, Finding, canaries_found, choose, comparable, unbeaten
from memberwise.frontier.feasible import usable, with_dataset
from memberwise.frontier.measure import measure, relative_to_undefended
from memberwise.frontier.notes import notes_of, notes_of_confirmation
from memberwise.frontier.page import render
from memberwise.frontier.points import Point, choose_points, left_out
from memberwise.frontier.schema import (
    BesideUndefended,
    ComparedPoint,
    Comparison,
    Confirmation,
    FailedPoint,
    FrontierResult,
    LeftOut,
    Measure,
    MeasuredPoint,
)
from memberwise.frontier.schema import Finding as Outcome
from memberwise.frontier.strength import Met, compared
from memberwise.report.redact import holds_records
from memberwise.report.schema import AuditWarning
from memberwise.seeds import Seeds
from memberwise.signals.progress import Progress
from memberwise.store.files import json_values, to_json, write_text
from memberwise.store.folder import short_name
from memberwise.study.entrypoint import is_entrypoint
from memberwise.study.reading import make_study, read_study
from memberwise.study.schema import Study
from memberwise.training.engines.registry import EngineSession
from memberwise.types.parts import Plain

# Of each point (a row) from each other; None from itself.
Differences = Sequence[Sequence[Comparison | None]]
# Called before each point: its number, how many there are (0 and 0 for the confirmation), its name.
Announce = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Frontier:
    """What ``memberwise defend`` found; ``facts`` is ``frontier.json``."""

    facts: Plain
    folder: Path

    @property
    def parts(self) -> FrontierResult:
        """``facts`` as objects."""
        return FrontierResult.from_dict(self.facts)

    def to_json(self) -> str:
        return to_json(self.facts)


def run_defend(
    study: Study,
    inputs: Inputs | None = None,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Frontier:
    """Train and audit every point, recommend one, audit it again on a fresh seed, export it.

    Every point is an audit with a run folder of its own, so what was done is not done again.

    Raises:
        MemberwiseError: bad input, before anything is trained.
    """
    with EngineSession() as session:
        return _run_points(study, inputs, session, progress, announce)


def _run_points(
    study: Study,
    inputs: Inputs | None,
    session: EngineSession,
    progress: Progress | None,
    announce: Announce | None,
) -> Frontier:
    begun = time.perf_counter()
    _check(study)
    inputs = with_dataset(study, inputs or Inputs())
    constraint = Constraint.of(study.defend)
    points, refused = usable(choose_points(study), study, inputs)
    study = met_by(_asking_for(study, constraint), label_only_attacks(study, inputs))
    folder = Path(study.run.out or f"runs/defend-{short_name(study.data.source)}-{study.training_key()[:8]}")
    _check_folder(folder, study)
    announce = announce or (lambda place, total, name: None)
    rows, failed = [], []
    for place, point in enumerate(points):
        announce(place + 1, len(points), point.label)
        try:
            audit = audit_or_reuse(
                affordable(point.study(study, str(folder / "points" / point.folder))), inputs, progress, session
            )
        except (StudyError, RunFolderError):
            raise
        except Exception as error:
            # A user's own defence may raise anything; what else is no error of ours is a defect, and not hidden.
            if place == 0 or not (isinstance(error, MemberwiseError) or is_entrypoint(point.name)):
                raise
            failed.append(FailedPoint(point.label, _reason(error)))
            continue
        rows.append((point, *measure(point, audit, study, constraint.fpr)))
    table, differences, kind, choice = _compared(
        [row for _, row, _ in rows], [attacks for _, _, attacks in rows], constraint
    )
    best = choice.best
    notes = notes_of(table, choice, constraint)
    confirmation = None
    if best is not None:
        chosen = [rows[0][0], rows[best][0]]
        try:
            confirmation = _confirmed(chosen, study, folder, constraint, inputs, session, progress, announce)
        except TrainingError as error:
            notes.append(
                Note("not-confirmed", f"on a fresh seed {chosen[1].label} could not be trained: {_reason(error)}")
            )
        else:
            notes += notes_of_confirmation(confirmation, constraint)
    result = FrontierResult(
        study=study.to_dict(),
        seed=study.run.seed,
        seconds=round(time.perf_counter() - begun, 1),
        fpr=constraint.fpr,
        constraint=constraint.words(),
        measure=kind,
        points=tuple(table),
        unbeaten=tuple(unbeaten(table, _findings(differences))),
        recommended=best,
        alike=tuple(table[i].label for i in choice.alike if i != best),
        confirmation=confirmation,
        left_out=(
            *(LeftOut(name, tuple(needs), f"needs {' and '.join(needs)}") for name, needs in left_out(study)),
            *(LeftOut(point.label, (), reason) for point, reason in refused),
        ),
        failed=tuple(failed),
        warnings=tuple(AuditWarning(code, message) for code, message in notes),
    )
    _export(folder, None if best is None else rows[best][0])
    return _written(result, folder)


def _written(result: FrontierResult, folder: Path) -> Frontier:
    """Page and facts in the folder; the facts come last."""
    frontier = Frontier(json_values(result.to_dict()), folder)
    private = holds_records(frontier.facts["points"])
    write_text(folder / "frontier.html", render(frontier.parts), private=private)
    write_text(folder / "frontier.json", frontier.to_json(), private=private)
    return frontier


def _compared(
    rows: Sequence[MeasuredPoint], attacks: Sequence[Met], constraint: Constraint
) -> tuple[list[ComparedPoint], Differences, Measure, Choice]:
    """The rows beside the undefended one, their differences from each other, by what they are compared, and the choice
    among them."""
    measured, kind = relative_to_undefended(rows), comparable(rows)
    differences = [[compared(one, other, kind) if one is not other else None for other in attacks] for one in attacks]
    table = []
    for place, (row, row_differences) in enumerate(zip(measured, differences, strict=True)):
        first = row_differences[0]
        canaries = canaries_found(measured, place, 0)
        comparison = None if first is None else BesideUndefended(**vars(first), canaries=canaries)
        table.append(ComparedPoint(**vars(row), beside_undefended=comparison))
    return table, differences, kind, choose(table, constraint, _findings(differences), kind)


def _findings(differences: Differences) -> Finding:
    """Of two points by their places."""

    def finding(one: int, other: int) -> Outcome:
        difference = differences[one][other]
        return "not told apart" if difference is None else difference.finding

    return finding


def expected_points(study: Study) -> tuple[list[str], float]:
    """Labels of the points, and seconds for all of them if an epoch of each costs as much as one of plain training."""
    _check(study)
    constraint, inputs = Constraint.of(study.defend), with_dataset(study, Inputs())
    points, _ = usable(choose_points(study), study, inputs)
    study = met_by(_asking_for(study, constraint), label_only_attacks(study, inputs))
    epochs = study.training.epochs
    runs = sum(point.training.get("epochs", epochs) / epochs for point in points)
    return [point.label for point in points], estimate_cost(study).seconds * (runs + 2)


def _check(study: Study) -> None:
    if study.outputs.file is not None or study.target.given:
        raise StudyError(
            "a frontier is of models that are trained here",
            found="saved answers" if study.outputs.file else "a trained target",
            fix="give --data and --model; memberwise audit is for models that are trained already",
        )
    if study.training.defence is not None:
        raise StudyError(
            "the study has a training defence already, and each point of the frontier brings its own",
            where="training.defence",
            fix="leave it out, and name it in --defences",
        )


def _asking_for(study: Study, constraint: Constraint) -> Study:
    """The study, reporting at the constraint's false-positive rate too."""
    rates = study.statistics.fpr
    fprs = (constraint.fpr,) if isinstance(rates, str) else (*rates, constraint.fpr)
    statistics = study.statistics.model_copy(update={"fpr": tuple(sorted(set(fprs), reverse=True))})
    return study.model_copy(update={"statistics": statistics})


def _check_folder(folder: Path, study: Study) -> None:
    if (folder / "study.toml").exists() or (folder / "result.json").exists():
        raise RunFolderError(f"{folder} holds an audit's run", expected="a folder for a frontier", fix="another --out")


def _confirmed(
    points: Sequence[Point],
    study: Study,
    folder: Path,
    constraint: Constraint,
    inputs: Inputs | None,
    session: EngineSession,
    progress: Progress | None,
    announce: Announce,
) -> Confirmation:
    """The undefended and the recommended point, split, trained and audited anew: the best of many looks better."""
    seed = Seeds(study.run.seed).integer("frontier confirmation") % 2**31
    again = study.model_copy(update={"run": study.run.model_copy(update={"seed": seed})})
    measured = []
    for point in {point.label: point for point in points}.values():
        announce(0, 0, f"{point.label}, once more on a fresh seed")
        audit = audit_or_reuse(
            affordable(point.study(again, str(folder / "confirmation" / point.folder))), inputs, progress, session
        )
        measured.append(measure(point, audit, again, constraint.fpr))
    rows, attacks = relative_to_undefended([row for row, _ in measured]), [met for _, met in measured]
    kind = comparable(rows)
    comparison = compared(attacks[-1], attacks[0], kind) if len(rows) > 1 else None
    return Confirmation(seed, kind, rows[0], rows[-1], comparison)


def _export(folder: Path, point: Point | None) -> None:
    """The chosen model, and the policy by which it is to answer; what an earlier choice left there is gone."""
    shutil.rmtree(folder / "target", ignore_errors=True)
    (folder / "policy.toml").unlink(missing_ok=True)
    if point is None:
        return
    source = folder / "points" / point.folder
    if (source / "target").exists():
        shutil.copytree(source / "target", folder / "target")
    stored = make_study(read_study(source / "study.toml"), str(source))
    write_policy(folder, stored.answer)


def _reason(error: Exception) -> str:
    """An error in one line; of one that is not ours with its kind."""
    text = str(error).split("\n")[0]
    if isinstance(error, MemberwiseError):
        return f"{text}: {error.found}" if error.found else text
    return f"it raised {type(error).__name__}: {text}"
