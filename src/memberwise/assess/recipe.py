"""What this way of training gives away, the next time too: every shadow model in the target's place in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from memberwise.assess.folds import LEARNING
from memberwise.assess.turns import Turns, take_all_turns
from memberwise.attacks import Attack
from memberwise.attacks.registry import is_built_in
from memberwise.attacks.request import FAMILY
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES
from memberwise.statistics.tpr import Resolvable
from memberwise.statistics.two_way import (
    DRAWS,
    FEWEST_CLUSTERS,
    Refitted,
    TwoWay,
    estimates,
    figures_of,
    two_way,
)
from memberwise.types.arrays import Array, Arrays, Floats, Ints, Mask

# An attack is refitted without each of so many groups of pairs, where that goes through at most so many numbers.
GROUPS, REFITTED = 8, 8 * 64 * 64 * 10_000
FEW_DRAWS, MANY_RECORDS = 100, 10_000


@dataclass(frozen=True)
class RecipeFigures:
    """One attack over all models in turn: the means over new trainings and new records, with intervals over both."""

    attack: str
    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]


@dataclass(frozen=True)
class RecipeModels:
    """One attack over all models in turn, from which its figures follow at any confidence.

    Attributes:
        turns: how many models took the target's place.
        models: AUC, and the TPR at each of ``fprs``. refitted: None where the attack was not refitted.
        n_members, n_nonmembers: of one model.
        splits: a hash of the records and of who trained on which: what two recipes must share to be paired.
    """

    attack: str
    turns: int
    models: TwoWay
    refitted: Refitted | None
    fprs: tuple[float, ...]
    n_members: int
    n_nonmembers: int
    splits: str = ""

    def figures(self, confidence: float) -> RecipeFigures:
        """As ``result.json`` holds them."""
        auc, *rates = estimates(self.models, confidence, self.n_members, self.n_nonmembers, self.refitted)
        rows = [
            TprAtFpr(**vars(one), fpr=fpr, resolvable=mark(fpr, self.n_nonmembers))
            for one, fpr in zip(rates, self.fprs, strict=True)
        ]
        return RecipeFigures(self.attack, auc, tuple(rows))

    def estimate(self, metric: str, fpr: float | None, confidence: float) -> Estimate | None:
        """The figure of a gate's rule."""
        figures = self.figures(confidence)
        return figures.auc if metric == "auc" else next((row for row in figures.tpr_at_fpr if row.fpr == fpr), None)


def recipe_arrays(models: Sequence[RecipeModels]) -> Arrays:
    """What is kept of them in ``curves.npz``, so that another run can be compared, paired.

    ``recipe.ATTACK.figures`` ``(p, f, 1 + b)`` float32: AUC and TPR at each of ``recipe.fprs``, of each pair, on the
    records as they are and under ``b`` weightings; ``recipe.ATTACK.without`` ``(g, f)`` where it was refitted;
    ``recipe.ATTACK.counts``: models, records, members, non-members; ``recipe.ATTACK.splits``.
    """
    arrays: Arrays = {}
    for one in models:
        name = f"recipe.{one.attack}"
        arrays["recipe.fprs"] = np.array(one.fprs)
        arrays[f"{name}.figures"] = one.models.by_cluster.astype(np.float32)
        arrays[f"{name}.counts"] = np.array([one.turns, one.models.records, one.n_members, one.n_nonmembers])
        arrays[f"{name}.splits"] = np.array(one.splits)
        if one.refitted is not None:
            arrays[f"{name}.without"] = one.refitted.without
    return arrays


def read_recipes(arrays: Mapping[str, Array]) -> dict[str, RecipeModels]:
    """By attack, what ``recipe_arrays`` kept."""
    models = {}
    for key in arrays:
        if not (key.startswith("recipe.") and key.endswith(".figures")):
            continue
        name = key.removesuffix(".figures")
        turns, records, n1, n0 = (int(count) for count in arrays[f"{name}.counts"])
        without = arrays.get(f"{name}.without")
        attack = name.removeprefix("recipe.")
        models[attack] = RecipeModels(
            attack,
            turns,
            TwoWay(arrays[key].astype(np.float64), records),
            None if without is None else Refitted(without),
            tuple(float(fpr) for fpr in arrays["recipe.fprs"]),
            n1,
            n0,
            str(arrays[f"{name}.splits"]),
        )
    return models


def mark(fpr: float, n_nonmembers: int) -> Resolvable:
    """Whether so many non-members of each model resolve a rate."""
    expected = fpr * n_nonmembers
    return "yes" if expected >= ENOUGH_FALSE_POSITIVES else "weak" if expected >= 1 else "no"


@dataclass(frozen=True)
class RecipePart:
    """The ``recipe`` of ``result.json``.

    Attributes:
        estimand: what the figures are about, in words.
        attack: the one whose figures stand first; named before the run.
        models, trainings: that took the target's place, and how many of them are independent (complementary pairs).
        auc, tpr_at_fpr: of ``attack``. attacks: every attack's.
    """

    estimand: str
    attack: str
    models: int
    trainings: int
    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]
    attacks: tuple[RecipeFigures, ...]


ESTIMAND = (
    "the mean over models trained anew by the shadow models' recipe, on new records of the same kind, each attacked "
    "with shadow models as these were"
)


def recipe_part(models: Sequence[RecipeModels], confidence: float) -> RecipePart | None:
    """The figures over all models in turn; None where no attack could go through them."""
    rows = [one.figures(confidence) for one in models]
    if not rows:
        return None
    return RecipePart(
        estimand=ESTIMAND,
        attack=rows[0].attack,
        models=models[0].turns,
        trainings=len(models[0].models.by_cluster),
        auc=rows[0].auc,
        tpr_at_fpr=rows[0].tpr_at_fpr,
        attacks=tuple(rows),
    )


def recipe_models(
    signals: Signals,
    attacks: Sequence[Attack],
    turns: Sequence[Turns],
    evaluated: Mask,
    fprs: Sequence[float],
    seeds: Seeds,
    units: Ints | None,
) -> list[RecipeModels]:
    """Each attack's figures of every model in turn, under the same weightings of the records, in the turns' order.

    Args:
        evaluated: ``(n,)`` the records that figures are about. units: ``(n,)`` whose record each is: one person's stand
            together.
    """
    draws = FEW_DRAWS if signals.records > MANY_RECORDS else DRAWS
    variances, recipes = refitted_variances(signals, attacks, turns, evaluated, fprs, seeds), []

    def over_models(one: Turns) -> TwoWay:
        rng = seeds.rng("records drawn anew")  # the same weightings for every attack, and for every run of these roles
        return two_way(one.scores, one.member, one.clusters, fprs, rng, draws, units)

    with ThreadPoolExecutor(_cores(), "figures over models") as pool:
        figures = list(pool.map(over_models, turns))
    for one, models in zip(turns, figures, strict=True):
        scored = ~np.isnan(one.scores)
        n1, n0 = (int(np.mean((scored & side).sum(1))) for side in (one.member, ~one.member))
        splits, usable = hashlib.sha256(), scored.all(0)
        for part in (signals.index[usable], one.member[:, usable], one.clusters):
            splits.update(np.ascontiguousarray(part).tobytes())
        how = (one.attack, len(one.clusters), models, variances.get(one.attack), tuple(fprs), n1, n0)
        recipes.append(RecipeModels(*how, splits.hexdigest()))
    return recipes


def refitted_variances(
    signals: Signals,
    attacks: Sequence[Attack],
    turns: Sequence[Turns],
    evaluated: Mask,
    fprs: Sequence[float],
    seeds: Seeds,
) -> dict[str, Refitted]:
    """The variance over trainings by attack, groups of pairs left out in turn as targets and as shadow models.

    With scores held fixed the shadow models that the turns share are not counted; where noise has heavy tails, or
    models differ much, that is too little. None where refitting would take long, or there are too few trainings, and
    of attacks that learn on shadow models.

    ``evaluated``: ``(n,)``.
    """
    named = {one.attack for one in turns}
    refit = [attack for attack in attacks if attack.name in named and attack.name not in LEARNING]
    if not refit:
        return {}
    clusters, models = np.unique(turns[0].clusters), len(turns[0].clusters)
    groups = min(GROUPS, len(clusters))
    everyone = models == len(signals.trained_on)
    if len(clusters) < 2 * FEWEST_CLUSTERS or not everyone or groups * models**2 * signals.records > REFITTED:
        return {}

    def without(group: Ints) -> dict[str, Floats]:
        keep, figures = np.flatnonzero(~np.isin(turns[0].clusters, group)), {}
        for again in take_all_turns(signals.of_models(keep), refit, range(len(keep)), evaluated, seeds):
            each = zip(again.scores, again.member, strict=True)
            figures[again.attack] = np.mean([figures_of(scores, member, fprs) for scores, member in each], 0)
        return figures

    # Those of the family are formulas on arrays, which go side by side; a user's own attack, or a network, may not.
    formulas = all(is_built_in(attack) and attack.name in FAMILY for attack in refit)
    with ThreadPoolExecutor(_cores() if formulas else 1, "refit") as pool:
        parts = list(pool.map(without, np.array_split(clusters, groups)))
    whole = set[str].intersection(*map(set, parts))
    return {name: Refitted(np.array([part[name] for part in parts])) for name in whole}


def _cores() -> int:
    from memberwise.models.threads import cores  # with torch, which whoever only reads figures does without

    return cores()
