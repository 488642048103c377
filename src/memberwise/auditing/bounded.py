"""What an audit says of answers, or of a training, with a bound: the bound, and both games."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from memberwise.assess import Assessment
from memberwise.assess.bounded import BoundPart, bound_part
from memberwise.assess.games import Bayesian, game_one
from memberwise.auditing.prepare import Prepared
from memberwise.defences.bounded.pac import balanced_success
from memberwise.defences.bounded.private import bound_of_training
from memberwise.defences.bounded.spending import Bound
from memberwise.defences.output.bounded import BoundedDefence, bounded_defence
from memberwise.defences.training.ensemble import EnsembleProcedure
from memberwise.defences.training.registry import guaranteed
from memberwise.signals.bounded import KeptAnswers, kept_answers
from memberwise.types.arrays import Arrays


def bound_of(prepared: Prepared, arrays: Arrays, assessment: Assessment) -> BoundPart | None:
    """The ``bound`` of the result; None where nothing is bounded.

    Args:
        arrays: the target's.
    """
    study = prepared.study
    headline = next((one for one in assessment.attacks if one.name == assessment.headline), None)
    defence, kept = bounded_defence(prepared.resolved.output_defences), kept_answers(arrays)
    if defence is not None and kept is not None:
        bound = at_most(defence.bound(defence.unpack_state(kept.state)), getattr(defence, "budget", inf))
        name = study.answer[0].name  # it stands before every other output defence
        played = _game_one(prepared, defence, bound, kept, assessment)
        return bound_part(name, bound, played, headline, of_training=False)
    promised = guaranteed(study.training, len(prepared.target_job.rows)) if prepared.target is None else None
    if promised is None or study.training.defence is None:
        return None
    return bound_part(study.training.defence.name, bound_of_training(*promised), (), headline, of_training=True)


def at_most(bound: Bound, budget: float) -> Bound:
    """The bound by the most that the questions could have told, which holds whatever the answers were.

    The nats that a session's answers did cost are no more than an estimate of what such sessions tell on average.

    Args:
        budget: nats that no session passes; questions on which models agree cost none, so more may be asked than it
            is enough for at the most of each.
    """
    if bound.per_question is None or bound.share is None:
        return bound
    nats = min(bound.questions * bound.per_question, budget)
    return replace(bound, nats=nats, success=balanced_success(nats, bound.share))


def _game_one(
    prepared: Prepared, defence: BoundedDefence[object], bound: Bound, kept: KeptAnswers, assessment: Assessment
) -> tuple[Bayesian, ...]:
    """The exact attackers, where a secret world answers."""
    job = prepared.target_job
    if bound.game != "i" or bound.share is None or bound.per_question is None:
        return ()
    if not isinstance(job.procedure, EnsembleProcedure):
        return ()
    first = assessment.attacks[0]
    return game_one(
        kept.votes,
        job.procedure.parts(len(job.rows), job.seed),
        bound.share,
        bound.per_question,
        [row.fpr for row in first.tpr_at_fpr],
        prepared.study.statistics.confidence,
        prepared.seeds.rng("game one"),
    )
