"""ML-Leaks: membership from the few largest probabilities, with one shadow model or none."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.in_out import training_table
from memberwise.attacks.networks import fit_networks
from memberwise.attacks.shokri import LOWEST, MOST_ROWS, balanced_rows
from memberwise.attacks.thresholds import confidence
from memberwise.signals.read import log_vectors
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats

TOP = 3


def top_features(answers: Answers, most: int = TOP) -> Floats:
    """``(n, most)``: log of the first model's largest probabilities, largest first; fewer where there are two classes.

    Sorted, they mean the same whatever the classes are.
    """
    logs = np.maximum(log_vectors(answers.of_models(np.array([0])))[0], LOWEST)
    return np.sort(logs, axis=1)[:, ::-1][:, :most]


def one_shadow(signals: Signals, rng: np.random.Generator) -> Floats:
    """Salem et al. 2019, "ML-Leaks", adversary 1: one shadow model, one classifier for all classes.

    The classifier reads the three largest probabilities (their logarithms, standardised); its probability of "member"
    is the score, in [0, 1]. HIGHER = MORE LIKELY A MEMBER. Only the first shadow model is used: more change nothing.

    Returns:
        ``(n,)`` float64.
    """
    shadow, labels, trained_on = training_table(signals)
    rows = balanced_rows(trained_on[:1], np.ones(len(labels), bool), MOST_ROWS, rng)[:, 1]
    if not rows.size:
        return np.full(signals.records, np.nan)
    [judge] = fit_networks([(top_features(shadow)[rows], trained_on[0, rows])], rng)
    return judge(top_features(signals.target))


def other_data(signals: Signals, rng: np.random.Generator) -> Floats:
    """Adversary 2: as adversary 1, but the shadow model is another run's target, trained on other data.

    HIGHER = MORE LIKELY A MEMBER. Stronger the more alike that model overfits.

    Returns:
        ``(n,)`` float64 in [0, 1].
    """
    if signals.transfer is None:
        raise ValueError("there is no other run to learn from")
    member = signals.transfer.member.astype(np.int8)
    rows = balanced_rows(member[None], np.ones(len(member), bool), MOST_ROWS, rng)[:, 1]
    ours = top_features(signals.target)
    theirs = top_features(signals.transfer.answers, ours.shape[1])
    [judge] = fit_networks([(theirs[rows], member[rows])], rng)
    return judge(ours[:, : theirs.shape[1]])


def no_shadow(signals: Signals, rng: np.random.Generator) -> Floats:
    """Adversary 3: the largest probability, less that of the surest tenth of random inputs. No training at all.

    HIGHER = MORE LIKELY A MEMBER; above 0 is called a member. It ranks records as ``confidence`` does. How sure a
    model is of random inputs depends much on how they are drawn: here uniformly from each feature's range.

    Returns:
        ``(n,)`` float64.
    """
    return np.asarray(confidence(signals.target, signals.labels)[0] - signals.target.extra["random"][0])


SOURCE = "Salem et al. 2019, adversary"
ATTACKS = [
    Attack(
        name="ml-leaks-1",
        score=one_shadow,
        needs=Needs(label=False, vectors=True, shadow_vectors=True, shadows="in+out", training_table=True),
        source=f"{SOURCE} 1",
        summary="One classifier on the three largest probabilities, trained on one shadow model.",
        threshold=0.5,
    ),
    Attack(
        name="ml-leaks-2",
        score=other_data,
        needs=Needs(label=False, vectors=True, transfer=True),
        source=f"{SOURCE} 2",
        summary="One classifier on the three largest probabilities, trained on a model of other data.",
        threshold=0.5,
        threshold_from="transfer",
        default=False,
    ),
    Attack(
        name="ml-leaks-3",
        score=no_shadow,
        needs=Needs(label=False, vectors=True, extra="random"),
        source=f"{SOURCE} 3",
        summary="Compares the largest probability with those of random inputs.",
        threshold=0.0,
        threshold_from="random inputs",
        default=False,
    ),
]
