"""Shokri's attack: a classifier a class, trained on the shadow models' full answers, tells members from others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import training_table
from memberwise.attacks.networks import Lesson, fit_networks
from memberwise.signals.read import log_vectors
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Mask
from memberwise.types.foreign import Estimator

# At most so many rows (half IN, half OUT) train one class's classifier.
MOST_ROWS = 5_000
# Classes with fewer share one classifier, which is told the class.
FEWEST_ROWS = 100
# Log-probabilities below are noise; without a floor they would decide how the column is scaled.
LOWEST = -30.0

# make(seed) -> an unfitted scikit-learn-like classifier: fit(x, y), predict_proba(x), classes_.
MakeClassifier = Callable[[int], Estimator]


def logistic(seed: int) -> Estimator:
    """Logistic regression, lightly regularised: the least that can be learned, and the fastest."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200)


def forest(seed: int) -> Estimator:
    """100 trees with at least 5 rows a leaf: learns answers that no line separates, and gives coarser scores."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, min_samples_leaf=5, random_state=seed)


def with_classifier(make: MakeClassifier) -> Score:
    """:func:`with_networks` by any classifier, one class after another. HIGHER = MORE LIKELY A MEMBER.

    Args:
        make: ``make(seed)`` returns an unfitted scikit-learn-like classifier with ``predict_proba``.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        result = np.full(signals.records, np.nan)
        for lesson, about, questions in lessons(signals, rng):
            result[about] = fit_classifier(make, *lesson, rng)(questions)
        return result

    return score


def with_networks(signals: Signals, rng: np.random.Generator) -> Floats:
    """Shokri et al. 2017, "Membership inference attacks against machine learning models".

    The score is the class's network's probability of "member", in [0, 1]. HIGHER = MORE LIKELY A MEMBER.

    Assumes full answers of shadow models trained like the target; more of them make it stronger, up to 5,000 balanced
    rows a class. Classes with fewer than 100 rows share one network, with the class as further inputs.
    The paper feeds the probability vector. Here its logarithm stands beside it, each column standardised: in the
    logarithms how far small probabilities fall is not squeezed into the last digits, and in the probabilities the
    largest is not drowned where a defence answers zeros.

    Returns:
        ``(n,)`` float64, NaN where there are no shadow rows on both sides.
    """
    result = np.full(signals.records, np.nan)
    all_lessons = list(lessons(signals, rng))
    for width in sorted({lesson[0].shape[1] for lesson, _, _ in all_lessons}):
        chosen = [one for one in all_lessons if one[0][0].shape[1] == width]
        judges = fit_networks([lesson for lesson, _, _ in chosen], rng)
        for judge, (_, about, questions) in zip(judges, chosen, strict=True):
            result[about] = judge(questions)
    return result


def lessons(signals: Signals, rng: np.random.Generator) -> Iterator[tuple[Lesson, Mask, Floats]]:
    """What each class's classifier learns from: rows and who of them is a member; ``(n,)`` the records that it is then
    asked about, and their ``(k, features)`` rows."""
    answers, labels, trained_on = training_table(signals)
    x = features(answers)
    vectors = features(signals.target)[0]
    trained_on = trained_on[: len(x)]
    shared = []
    for label in np.unique(signals.labels):
        rows = balanced_rows(trained_on, labels == label, MOST_ROWS, rng)
        if len(rows) < FEWEST_ROWS:
            shared.append(label)
            continue
        about = signals.labels == label
        yield (x[tuple(rows.T)], trained_on[tuple(rows.T)]), about, vectors[about]
    rows = balanced_rows(trained_on, np.isin(labels, shared), MOST_ROWS, rng)
    if len(rows):
        inputs = np.hstack([x[tuple(rows.T)], labels[rows[:, 1]][:, None] == shared])
        pooled = np.isin(signals.labels, shared)
        questions = np.hstack([vectors, signals.labels[:, None] == shared])[pooled]
        yield (inputs, trained_on[tuple(rows.T)]), pooled, questions


def features(answers: Answers) -> Floats:
    """``(j, n, 2 C)`` log-probabilities, then probabilities."""
    logs = log_vectors(answers)
    return np.concatenate([np.maximum(logs, LOWEST), np.exp(logs)], axis=-1)


def balanced_rows(trained_on: NDArray[np.int8], records: Mask, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """``(r, 2)`` pairs (model, record), as many IN as OUT, at most ``most``, at random from ``records`` (a mask)."""
    sides = [np.argwhere((trained_on == side) & records) for side in (1, 0)]
    each = min(len(sides[0]), len(sides[1]), most // 2)
    return np.concatenate([rng.permutation(pairs)[:each] for pairs in sides])


def fit_classifier(
    make: MakeClassifier, x: Floats, member: NDArray[np.int8], rng: np.random.Generator
) -> Callable[[Floats], Floats]:
    """Train a classifier; returns its probability of "member" for rows of features.

    Args:
        make: makes the classifier from a seed. x: ``(n, features)``, standardised here. member: ``(n,)``, 0 or 1.

    Returns:
        A function from ``(k, features)`` rows to ``(k,)`` probabilities.
    """
    from sklearn.exceptions import ConvergenceWarning

    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    classifier = make(int(rng.integers(2**31)))
    order = rng.permutation(len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is bounded on purpose
        classifier.fit(((x - mean) / scale)[order], member[order])
    column = list(classifier.classes_).index(1)
    return lambda rows: np.asarray(classifier.predict_proba((rows - mean) / scale)[:, column], np.float64)


ATTACKS = [
    Attack(
        name=name,
        score=score,
        needs=Needs(vectors=True, shadow_vectors=True, shadows="in+out", training_table=True),
        source="Shokri et al. 2017",
        summary=f"{words} a class, trained on the shadow models' full answers to tell members from others.",
        threshold=0.5,
        default=score is with_networks,
    )
    for name, score, words in (
        ("shokri", with_networks, "A neural network"),
        ("shokri-logistic", with_classifier(logistic), "A logistic regression"),
        ("shokri-forest", with_classifier(forest), "A random forest"),
    )
]
ATTACK = ATTACKS[0]
