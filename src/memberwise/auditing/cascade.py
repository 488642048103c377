"""A cascade's rounds: shadow models trained once the target was asked, on what is by then believed of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from memberwise.assess.figures import Skipped
from memberwise.attacks.cascade import (
    ATTACK,
    FIRST,
    after,
    balanced,
    believed,
    by_unit,
    log_odds_of,
    released,
    released_table,
    sides,
)
from memberwise.attacks.learned.attack import carried_over_to
from memberwise.auditing.notes import GIVEN_UP, INTERRUPTED
from memberwise.auditing.prepare import Prepared
from memberwise.auditing.shadows import engine_of
from memberwise.auditing.table import make_table
from memberwise.errors import Note, TrainingError
from memberwise.report.schema import CascadeFacts
from memberwise.signals.gather import gather
from memberwise.signals.knowledge import share_told
from memberwise.signals.progress import Progress
from memberwise.signals.rounds import Round
from memberwise.signals.schedule import FixedCount, ShadowRun
from memberwise.signals.steps import Step, with_step
from memberwise.signals.table import Signals
from memberwise.store.blocks import BlockStore
from memberwise.store.folder import RunFolder
from memberwise.study.models import ROUND
from memberwise.training.job import Job
from memberwise.types.arrays import Arrays, Mask

FOLDER = "cascade"
UNFINISHED = Skipped(ATTACK.name, "none of its rounds is finished")
UNTRAINED = Skipped(ATTACK.name, "its first round could not be trained")


@dataclass
class CascadeRun:
    """The rounds of an audit, and what was noticed of them.

    Attributes:
        facts: None without rounds. interrupted: Ctrl-C ended them early. processors: how many models each kind made.
        skipped: the attack, where its rounds were asked for and there are none.
    """

    rounds: list[Round] = field(default_factory=list)
    facts: CascadeFacts | None = None
    notes: list[Note] = field(default_factory=list)
    processors: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    skipped: tuple[Skipped, ...] = ()


def gather_rounds(
    prepared: Prepared,
    folder: RunFolder,
    target: Arrays,
    shadows: ShadowRun,
    signals: Signals,
    step: Step | None,
    progress: Progress,
) -> CascadeRun:
    """The rounds that the study asks for, read from the run folder or trained and asked; none of an unfinished round.

    Args:
        target: the target's arrays. shadows: the models before the cascade; signals: the table of them.
        step: of answers that come in steps.
    """
    run, count, units = CascadeRun(), prepared.resolved.request.rounds, prepared.roles.audited_units
    if not count:
        return run
    if shadows.interrupted:
        run.skipped = (UNFINISHED,)
        return run
    members = share_told(prepared.roles.member, prepared.study.data.coins)
    rng = prepared.seeds.rng("cascade")
    signals = replace(signals, members=members)
    why = FIRST.needs.missing(signals)
    log_odds = np.full(signals.records, np.nan) if why else log_odds_of(signals, rng)
    if np.isnan(log_odds).all():
        message = f"no cascade was begun: {FIRST.name}, which begins it, {why or 'could score no record'}"
        run.notes += [] if prepared.resolved.request.unasked else [Note("no-cascade", message)]
        return run
    seconds, log_odds = 0.0, balanced(log_odds, members)
    for number in range(1, count + 1):
        p = believed(by_unit(log_odds, units), members)
        free = released(p, units, rng)
        inside = list(sides(p, free, units, rng))
        made = _made(prepared, folder, number, inside, progress, run)
        if made is None:
            break
        seconds += made.seconds + made.earlier
        rows = (job.rows for job in jobs_of(prepared, number, inside))
        table = with_step(make_table(prepared.dataset, prepared.roles, target, made.arrays, rows), step)
        run.rounds.append(Round(log_odds, free, replace(table, members=members)))
        if number < count:
            log_odds = after(run.rounds[-1], released_table(run.rounds[-1]), carried_over_to(signals), rng)
    if not run.rounds:
        run.skipped = (UNFINISHED if run.interrupted else UNTRAINED,)
        return run
    shares = tuple(round(float(one.released.mean()), 4) for one in run.rounds)
    run.facts = CascadeFacts(
        models=ROUND * len(run.rounds), rounds=len(run.rounds), released=shares, seconds=round(seconds, 2)
    )
    return run


def _made(
    prepared: Prepared, folder: RunFolder, number: int, inside: list[Mask], progress: Progress, run: CascadeRun
) -> ShadowRun | None:
    """A round's models, of which the run is told; None where they do not count: interrupted, or given up."""
    try:
        made = _trained(prepared, folder, number, inside, progress)
    except TrainingError as error:
        if not prepared.resolved.request.unasked:
            raise
        run.notes.append(_given_up(error, len(run.rounds)))
        return None
    run.notes += made.notes
    run.processors += made.processors
    if not made.interrupted and made.count == ROUND:
        return made
    rounds = prepared.resolved.request.rounds
    message = f"interrupted in round {number} of {rounds} of the cascade, which counts without it"
    run.notes.append(Note(INTERRUPTED, f"{message}; the same command continues"))
    run.interrupted = True
    return None


def _trained(prepared: Prepared, folder: RunFolder, number: int, inside: list[Mask], progress: Progress) -> ShadowRun:
    """A round's models."""
    jobs, trainer = jobs_of(prepared, number, inside), prepared.trainer
    schedule = FixedCount(jobs.__getitem__, len(jobs), trainer.describe().block)
    questions = replace(prepared.shadow_questions, extras=())
    store = BlockStore(folder.path / FOLDER / f"round-{number:02d}")
    told, engine = progress.named(f"models of round {number}"), engine_of(prepared, folder)
    try:
        return gather(trainer, schedule, questions, store, prepared.identity, told, engine)
    except TrainingError as error:  # the round's models are counted from one
        raise TrainingError(
            f"round {number} of the cascade: {error.problem}",
            expected=error.expected,
            found=error.found,
            where=error.where,
            fix=f"{error.fix}; or --cascade 0" if error.fix else "--cascade 0",
        ) from error


def _given_up(error: TrainingError, rounds: int) -> Note:
    """Why a cascade that a gate has run unasked ends early: the audit is not lost by it."""
    found = f" ({error.found})" if error.found else ""
    message = f"{error.problem}{found}; the cascade that the gate has run ends after {rounds} of its rounds"
    return Note(GIVEN_UP, f"{message}. Rounds train on a few records more or fewer than half; --cascade 0")


def jobs_of(prepared: Prepared, number: int, inside: list[Mask]) -> list[Job]:
    """As the first shadow model's, on the rows ``inside`` ``(n,)`` and from a seed of each one's own."""
    roles, like = prepared.roles, prepared.shadow_job(0)
    return [
        replace(
            like,
            rows=np.sort(np.concatenate([roles.audited[side], roles.background])),
            seed=prepared.seeds.integer("cascade", number * ROUND + k),
        )
        for k, side in enumerate(inside)
    ]
