"""A served model in the target's place: asked with the attacks that fit what it answers and the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from memberwise.assess.figures import Skipped
from memberwise.attacks.base import Attack
from memberwise.attacks.registry import choose
from memberwise.attacks.request import LABEL_ONLY
from memberwise.auditing.afford import Asking, Grant, Need, asks, grant
from memberwise.auditing.prepare import Prepared
from memberwise.auditing.target import TargetRun, gather_target
from memberwise.errors import Note, StudyError
from memberwise.signals.collectors.registry import collectors
from memberwise.signals.progress import Progress
from memberwise.store.folder import RunFolder
from memberwise.targets.answer_store import FILE
from memberwise.targets.asking import ANSWERED, SENT, BudgetSpent, Coarser
from memberwise.targets.endpoint import EXAMPLES, Endpoint
from memberwise.types.arrays import Arrays, Records


def ask_served(
    prepared: Prepared, folder: RunFolder, progress: Progress, traced: bool = False
) -> tuple[Prepared, TargetRun]:
    """The target's signals as ``gather_target`` has them; of a served model with what its answers and budget allow.

    Where answers turn coarser on the way, all that the attacks read are read again as what all of these are: none is
    asked for twice. Questions that collectors ask for labels do not count for that.

    Raises:
        AskingError, TargetError, TrainingError: the server does not answer, or not as it must.
    """
    endpoint = prepared.target
    if not isinstance(endpoint, Endpoint):
        return prepared, gather_target(prepared, folder, traced)
    fitted(prepared, endpoint, "probabilities")  # a budget that is too small is told before anything is asked
    watched, lean = progress.named("questions"), False
    try:
        while True:
            endpoint.begin(_examples(prepared))
            fit = fitted(prepared, endpoint, endpoint.kind, lean)
            _watch(endpoint, asking(fit), watched)
            try:
                return fit, gather_target(fit, folder)
            except Coarser as coarser:
                if lean:
                    endpoint.settle(coarser.kind)
                lean = True  # perhaps only the records for accuracies are without figures
            except BudgetSpent:
                if lean:
                    raise
                lean = True  # perhaps only the records for accuracies are without an answer
    except BaseException:
        endpoint.close()
        raise
    finally:
        watched.stop()


def _watch(endpoint: Endpoint, need: Asking, progress: Progress) -> None:
    """Tell how many of the questions are answered."""
    done = len(endpoint.store)
    total = max(need.total or need.records + need.probes, done)
    progress.start(total, done)

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress.update(min(done, total))

    endpoint.tell = tell


def finish_served(prepared: Prepared) -> None:
    """The last questions: whether the server still answers as it did."""
    if isinstance(prepared.target, Endpoint):
        prepared.target.finish(_examples(prepared))


def fitted(prepared: Prepared, endpoint: Endpoint, kind: str, lean: bool = False) -> Prepared:
    """The audit with the attacks and questions that fit what is answered and the budget.

    Args:
        kind: of the answers. lean: without the records that tell accuracies alone.

    Raises:
        StudyError: the budget does not do, or the attacks that are asked for do not fit it.
    """
    study, request = prepared.study, prepared.resolved.request
    more = by_labels(prepared) if kind == "labels" and "default" in study.attacks.use else []
    attacks = [*request.attacks, *(attack for attack in more if attack not in request.attacks)]
    made = collectors([attack.needs.extra for attack in attacks if attack.needs.extra], study.attacks)
    need = Need.of(prepared.questions, attacks, made, min(study.target.probes, study.target.batch))
    granted = grant(need, study.target.max_queries, wasted(endpoint))
    granted = replace(granted, lean=granted.lean or lean)
    skipped = _skipped(attacks, granted)
    attacks_left = [attack for attack in attacks if attack.name not in skipped]
    if not attacks_left or study.attacks.headline in skipped:
        name = study.attacks.headline or next(iter(skipped))
        raise StudyError(
            f"the budget of questions does not do for the attack {name}",
            found=skipped[name],
            where="target.max_queries",
            fix="a larger budget, or attacks that need fewer questions: --attacks default",
        )
    extras = tuple(one for one in made if one.name not in granted.refused)
    resolved = replace(prepared.resolved, request=replace(request, attacks=attacks_left), collectors=extras)
    questions = replace(prepared.questions, extras=extras)
    if granted.lean:
        questions = replace(
            questions, background=questions.background[:0], test=prepared.roles.nonmembers, validation=None
        )
    notes = [*prepared.notes, *_fit_notes(endpoint, granted, [attack.name for attack in more], kind)]
    return replace(
        prepared,
        resolved=resolved,
        questions=questions,
        shadow_questions=replace(prepared.shadow_questions, extras=extras),
        refused=skipped,
        notes=notes,
    )


def asking(prepared: Prepared) -> Asking:
    """What a served model would be asked; nothing is.

    Raises:
        StudyError: the budget does not do for the records themselves.
    """
    study, attacks = prepared.study, prepared.resolved.request.attacks
    more = [attack for attack in choose(LABEL_ONLY) if _can_ask(attack, prepared)]
    made = collectors([attack.needs.extra for attack in attacks if attack.needs.extra], study.attacks)
    labelled = collectors([attack.needs.extra for attack in more if attack.needs.extra], study.attacks)
    need = Need.of(prepared.questions, attacks, made, min(study.target.probes, study.target.batch))
    granted = grant(need, study.target.max_queries)
    of_labels = Need.of(prepared.questions, more, labelled, min(study.target.probes, study.target.batch))
    further = [count for name, count in need.collectors.items() if name not in granted.refused]
    first = (need.lean if granted.lean else need.base) + need.probes
    return Asking(
        records=need.lean if granted.lean else need.base,
        probes=need.probes,
        attacks={attack.name: need.of_attack(attack.name) for attack in attacks},
        by_labels={attack.name: of_labels.of_attack(attack.name) for attack in more},
        total=None if None in further else first + sum(count or 0 for count in further),
        max_queries=study.target.max_queries,
        skipped=_skipped(attacks, granted),
    )


def by_labels(prepared: Prepared) -> list[Attack]:
    """The label-only attacks for a server that answers labels alone: without a budget the cheapest, which asks a few
    questions a record; with one all, as far as it goes."""
    attacks = choose(LABEL_ONLY)
    if prepared.study.target.max_queries is not None:
        return [attack for attack in attacks if _can_ask(attack, prepared)]
    return [attack for attack in attacks if _can_ask(attack, prepared)][:1]


def wasted(endpoint: Endpoint) -> int:
    """Questions of this run folder that brought no answer that is kept."""
    if not (endpoint.folder / FILE).exists():
        return 0
    counts = endpoint.counts()
    return max(0, round(counts[SENT] - counts[ANSWERED]))


def skipped_for(prepared: Prepared, target: Arrays) -> list[Skipped]:
    """Attacks that a budget of questions did not do for, ours or the server's.

    Args:
        target: its arrays, as collected.
    """
    endpoint, reasons = prepared.target, dict(prepared.refused)
    if isinstance(endpoint, Endpoint) and endpoint.spent is not None:
        for attack in prepared.resolved.request.attacks:
            extra = attack.needs.extra_name
            if extra is not None and f"audited.extra.{extra}" not in target:
                reasons[attack.name] = f"needs further questions, and {endpoint.spent.problem.partition(':')[0]}"
    return [Skipped(name, reason) for name, reason in reasons.items()]


def _skipped(attacks: Sequence[Attack], granted: Grant) -> dict[str, str]:
    names = {attack.name: attack.needs.extra_name for attack in attacks}
    return {name: granted.refused[extra] for name, extra in names.items() if extra in granted.refused}


def _fit_notes(endpoint: Endpoint, granted: Grant, more: Sequence[str], kind: str) -> list[Note]:
    notes = []
    if granted.lean:
        notes.append(
            Note(
                "endpoint-accuracies",
                "to save questions the target's accuracies are those of the audited members and non-members alone",
            )
        )
    if kind == "labels" and more:
        message = f"the server answers labels alone: {', '.join(more)} {'was' if len(more) == 1 else 'were'} added"
        if endpoint.config.max_queries is None and len(more) == 1:
            message += "; stronger ones ask hundreds of questions a record: name them (label-only-noise, "
            message += "label-only-boundary), or say how many there may be (--max-queries)"
        message += ". If it has figures under another name: --set target.output=NAME"
        notes.append(Note("endpoint-labels", message))
    return notes


def _examples(prepared: Prepared) -> Records:
    """Records by which the kind of answers is told; some of each end of the data."""
    questions = prepared.questions
    count = len(questions.audited)
    rows = questions.audited[np.unique(np.linspace(0, count - 1, min(count, EXAMPLES)).astype(np.intp))]
    return questions.records(rows)


def _can_ask(attack: Attack, prepared: Prepared) -> bool:
    """Copies with flipped columns want columns of two values, for one."""
    [made] = collectors([attack.needs.extra] if attack.needs.extra else [], prepared.study.attacks) or [None]
    return made is not None and asks(made, prepared.questions) != 0
