"""Game (i) of answers from a secret world: which of the pool's records did it learn? By the exact Bayesian attacker.

The mechanism keeps a posterior over the worlds; whoever knows the worlds' answers has the same one, and no attacker
can know more. So many secret worlds are drawn, each session plays against one, and the posterior names its records.
The attacker is given all that the bound allows him: every world's rows and answers, and the noisy vector itself where
only its label is released. Game (ii), pool against strangers, is the ordinary audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memberwise.assess.recipe import mark
from memberwise.defences.bounded.pac import balanced_success, release
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.types.arrays import Floats, Ints, Mask

# Secret worlds drawn, and how many of them meet an attacker who chooses each question anew, with how many questions.
SECRETS, ADAPTIVE_SECRETS, ADAPTIVE_QUESTIONS = 2_000, 512, 64
# Multiplications that one attacker may take: where worlds answer in many ways, fewer questions are asked.
WORK = 1e9
# Sessions that part ways are answered one question after another, so often at most.
CALLS = 6_000
# Posteriors no further from where they began tell nothing: they only round differently.
TOLD = 1e-13


@dataclass(frozen=True)
class Bayesian:
    """What one exact Bayesian attacker achieves in game (i), over many secrets.

    Attributes:
        attacker: how he chooses his questions.
        secrets, questions: sessions, and questions in each.
        nats: told in a session, on average. bound: the largest balanced accuracy that so many nats allow.
        accuracy: balanced. auc, tpr_at_fpr: of the records of one session, on average.
    """

    attacker: str
    secrets: int
    questions: int
    nats: float
    bound: float
    accuracy: Estimate
    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]


@dataclass(frozen=True)
class Sessions:
    """Sessions against secret worlds.

    Attributes:
        worlds: ``(S,)`` the secrets. weights: ``(S, W)`` posteriors at the end. nats: ``(S,)`` told.
        questions: asked in each.
    """

    worlds: Ints
    weights: Floats
    nats: Floats
    questions: int


def game_one(
    answers: Floats,
    member: Mask,
    share: float,
    budget: float,
    fprs: Sequence[float],
    confidence: float,
    rng: np.random.Generator,
    secrets: int = SECRETS,
) -> tuple[Bayesian, ...]:
    """Both attackers: one asks the questions in turn, one chooses each by what the answers before it told.

    The questions are some of those that an audit asks: ``Bayesian.questions`` says how many were asked.

    Args:
        answers: ``(Q, W, C)`` what each world answers to each question (``BoundedDefence.votes``).
        member: ``(W, n)`` the pool's records that each world learned. share: of the pool that one world learns.
        budget: nats of one answer. fprs: false-positive rates.
        confidence: of intervals over the secrets. secrets: sessions.
    """
    few = min(secrets, ADAPTIVE_SECRETS)
    in_time = affordable(answers, secrets)
    every = ask_all(in_time, budget, draw_secrets(len(member), secrets, rng), rng)
    chosen = ask_adaptively(answers, budget, draw_secrets(len(member), few, rng), rng)
    return (
        figures("asks in turn", every, member, share, fprs, confidence),
        figures("chooses each question by the answers before it", chosen, member, share, fprs, confidence),
    )


def affordable(answers: Floats, secrets: int) -> Floats:
    """The first questions ``(q, W, C)`` of ``(Q, W, C)`` that so many sessions are asked in a minute or so."""
    ways = np.array([len(np.unique(table, axis=0)) for table in answers])
    return answers[: max(1, int((np.cumsum(secrets * ways.astype(float) ** 3) <= WORK).sum()))]


def draw_secrets(worlds: int, secrets: int, rng: np.random.Generator) -> Ints:
    """``(S,)`` secret worlds, each as often as the others as far as that goes."""
    drawn: Ints = rng.permutation(np.arange(secrets) % worlds)
    return drawn


def ask_all(answers: Floats, budget: float, worlds: Ints, rng: np.random.Generator) -> Sessions:
    """Sessions in which every question is asked, in the order given.

    Args:
        answers: ``(Q, W, C)``. budget: nats of one answer. worlds: ``(S,)`` the secrets.
    """
    weights = np.full((len(worlds), answers.shape[1]), 1 / answers.shape[1])
    nats = np.zeros(len(worlds))
    for table in answers:
        if (table == table[0]).all():
            continue
        made = release(table, weights, worlds, budget, rng.standard_normal((len(worlds), table.shape[1])))
        weights, nats = made.weights, nats + made.nats
    return Sessions(worlds, weights, nats, len(answers))


def ask_adaptively(
    answers: Floats, budget: float, worlds: Ints, rng: np.random.Generator, questions: int = ADAPTIVE_QUESTIONS
) -> Sessions:
    """Sessions in which each next question is the one, not asked yet, whose answers differ most under the posterior.

    Args:
        answers: ``(Q, W, C)``. budget: nats of one answer. worlds: ``(S,)`` the secrets. questions: of each session.
    """
    sessions = np.arange(len(worlds))
    weights = np.full((len(worlds), answers.shape[1]), 1 / answers.shape[1])
    nats = np.zeros(len(worlds))
    squares = np.square(answers).sum(-1)
    unasked = np.ones((len(worlds), len(answers)), bool)
    asked, calls = 0, 0
    while asked < min(questions, len(answers)) and calls < CALLS:
        middle = np.tensordot(weights, answers, (1, 1))
        spread = weights @ squares.T - np.square(middle).sum(-1)
        chosen = np.where(unasked, spread, -np.inf).argmax(1)
        unasked[sessions, chosen] = False
        for question in np.unique(chosen):
            here = np.flatnonzero(chosen == question)
            normal = rng.standard_normal((len(here), answers.shape[2]))
            made = release(answers[question], weights[here], worlds[here], budget, normal)
            weights[here], nats[here] = made.weights, nats[here] + made.nats
            calls += 1
        asked += 1
    return Sessions(worlds, weights, nats, asked)


def figures(
    attacker: str,
    sessions: Sessions,
    member: Mask,
    share: float,
    fprs: Sequence[float],
    confidence: float,
) -> Bayesian:
    """What the posteriors name, against what the secret worlds learned.

    A record is called a member where the answers have made that likelier than it was. Accuracy is of members and
    non-members alike often (share 1/2 at any ``share``); a posterior that has not moved guesses, and counts one half.

    Args:
        member: ``(W, n)``. share: of the pool that one world learns. fprs: false-positive rates.
        confidence: of intervals over the secrets.
    """
    truth = member[sessions.worlds]
    belief = sessions.weights @ member - member.mean(0)
    moved = np.abs(belief) > TOLD
    right = np.where(moved, (belief > 0) == truth, 0.5)
    accuracy = (right * np.where(truth, 0.5 / share, 0.5 / (1 - share))).mean(1)
    inside, records = float(truth.sum(1).mean()), member.shape[1]
    auc, rates = _of_records(belief, truth, fprs)
    nats = float(sessions.nats.mean())

    def estimate(values: Floats) -> Estimate:
        from scipy.stats import norm

        half = float(norm.isf((1 - confidence) / 2) * values.std(ddof=1) / len(values) ** 0.5)
        middle = float(values.mean())
        method = f"mean over {len(values):,} secret worlds drawn, normal interval over them; one ensemble"
        return Estimate(middle, middle - half, middle + half, round(inside), records - round(inside), method)

    return Bayesian(
        attacker=attacker,
        secrets=len(truth),
        questions=sessions.questions,
        nats=nats,
        bound=balanced_success(nats, share),
        accuracy=estimate(accuracy),
        auc=estimate(auc),
        tpr_at_fpr=tuple(
            TprAtFpr(**vars(estimate(row)), fpr=fpr, resolvable=mark(fpr, records - round(inside)))
            for fpr, row in zip(fprs, rates, strict=True)
        ),
    )


def _of_records(belief: Floats, truth: Mask, fprs: Sequence[float]) -> tuple[Floats, list[Floats]]:
    """``(S,)`` AUC of each session; and for each rate what sessions contribute to the TPR at one threshold for all.

    The threshold is that of all sessions' non-members. What its own chance adds is taken for what it is on the chord
    from no one called to it, which is steeper than the curve there: the interval is rather too wide.
    """
    from scipy.stats import rankdata

    beliefs = np.round(belief, 12)
    ranks = rankdata(beliefs, axis=1)
    n1 = truth.sum(1)
    n0 = truth.shape[1] - n1
    auc = (np.where(truth, ranks, 0.0).sum(1) - n1 * (n1 + 1) / 2) / (n1 * n0)
    outside = -np.sort(-beliefs[~truth])
    rates = []
    for fpr in fprs:
        above = beliefs > outside[int(np.floor(fpr * len(outside) + 1e-9))]
        found, false = (above & truth).sum(1) / n1, (above & ~truth).sum(1) / n0
        slope = found.mean() / false.mean() if false.any() else 0.0
        rates.append(found - slope * (false - false.mean()))
    return auc, rates
