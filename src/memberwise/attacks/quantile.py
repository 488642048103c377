"""Quantile regression: what a model that did not see a record would answer, predicted from the record itself."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.rmia import population_of
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Floats32, Ints, Rows

# The regressors: at most so many population rows; wide records are projected on their principal components.
MOST_ROWS = 10_000
WIDEST, COMPONENTS = 64, 32
ROUNDS, LEAVES = 100, 15
# Classes that scikit-learn's trees take as categories.
MOST_CATEGORIES = 255
# "Member" is called above this quantile of what non-members get.
LEVEL = 0.9
HELD_OUT = 0.25
# The distance between the two quantiles is never below this share of its median.
SMALLEST_SHARE = 0.05
CHUNK_VALUES = 8_000_000

Describe = Callable[[Rows, Ints], Floats32]


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """(phi - q50(x, y)) / (q90(x, y) - q50(x, y)), less what a tenth of held-out non-members exceed.

    Bertran et al. 2023, "Scalable membership inference attacks via quantile regression": the target's scaled logit is
    regressed on records it did not see, by the pinball loss at two levels, with gradient-boosted trees on the
    record's features (principal components of wide ones) and its class. HIGHER = MORE LIKELY A MEMBER; above 0 for a
    tenth of new non-members at most, by split-conformal calibration on a quarter of the population. No shadow models;
    a larger population, and features which tell how hard a record is, make it stronger. Reads the first query.

    Returns:
        ``(n,)`` float64.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, labels = signals.population_index, signals.population_labels
    if rows is None or labels is None:
        raise ValueError("there are no population records in the table")
    phi = population_of(signals).phi[0, :, 0]
    order = rng.permutation(len(phi))[:MOST_ROWS]
    held, fit = np.split(order, [ceil(HELD_OUT * len(order))])
    seed = int(rng.integers(2**31))
    describe = describer(signals, rows[fit], seed)
    x = describe(rows[fit], labels[fit])
    # Only the class, the last column, is a category.
    few = 1 + max(int(labels.max()), int(signals.labels.max())) <= MOST_CATEGORIES
    categories = np.arange(x.shape[1]) == x.shape[1] - 1 if few else None
    middle, upper = (
        HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            max_iter=ROUNDS,
            max_leaf_nodes=LEAVES,
            early_stopping=False,
            categorical_features=categories,
            random_state=seed,
        ).fit(x, phi[fit])
        for level in (0.5, LEVEL)
    )
    least = max(SMALLEST_SHARE * float(np.median(upper.predict(x) - middle.predict(x))), 1e-6)

    def standardised(answers: Floats, x: Floats32) -> Floats:
        centre = middle.predict(x)
        return np.asarray((answers - centre) / np.maximum(upper.predict(x) - centre, least))

    held_out = np.sort(standardised(phi[held], describe(rows[held], labels[held])))
    cut = held_out[min(ceil(LEVEL * (len(held) + 1)), len(held)) - 1]
    scores = standardised(signals.target.phi[0, :, 0], describe(signals.index, signals.labels))
    return np.asarray(scores - cut)


def describer(signals: Signals, fit: Rows, seed: int) -> Describe:
    """What the regressors read of records: their features, projected where there are many, and the class last.

    Args:
        fit: ``(k,)`` row numbers of the records on which a projection is fitted.

    Returns:
        A function from ``(n,)`` row numbers and labels to ``(n, width)`` float32.
    """
    if signals.features is None:
        raise ValueError("the records themselves are not in the table")
    features = signals.features

    def flat(rows: Rows) -> Floats32:
        return features[rows].reshape(len(rows), -1).astype(np.float32)

    project = flat
    if int(np.prod(features.shape[1:])) > WIDEST:
        from sklearn.decomposition import PCA

        axes = PCA(min(COMPONENTS, len(fit)), svd_solver="randomized", random_state=seed).fit(np.nan_to_num(flat(fit)))

        def project(rows: Rows) -> Floats32:
            step = max(1, CHUNK_VALUES // int(np.prod(features.shape[1:])))
            parts = [
                axes.transform(np.nan_to_num(flat(rows[start : start + step]))) for start in range(0, len(rows), step)
            ]
            return np.concatenate(parts).astype(np.float32)

    return lambda rows, labels: np.column_stack([project(rows), labels.astype(np.float32)])


ATTACK = Attack(
    name="quantile",
    score=score,
    needs=Needs(population=True, features=True, classes=True),
    source="Bertran et al. 2023, Scalable membership inference attacks via quantile regression",
    summary="How far the answer lies above what the record's features and class lead one to expect of a non-member.",
    threshold=0.0,
    threshold_from="population",
)
