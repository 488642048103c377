"""Warnings about how far the figures carry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.table import Signals

Note = tuple[str, str]


def notes(
    signals: Signals,
    member: NDArray[np.bool_],
    evaluated: NDArray[np.bool_],
    attacks: list[dict[str, Any]],
    headline: str,
) -> list[Note]:
    """All warnings that the table of signals and the figures give cause for."""
    main = next(attack for attack in attacks if attack["name"] == headline)
    nonmembers = int((~member & evaluated).sum())
    return [
        *_headline(attacks, main),
        *_coarse(main, nonmembers),
        *_not_scored(attacks, int(evaluated.sum())),
        *_shadow_models(signals),
        *_saturated(signals),
    ]


def upside_down(attacks: list[dict[str, Any]]) -> list[str]:
    """Attacks whose AUC lies below one half with its whole interval."""
    return [a["name"] for a in attacks if a["auc"]["high"] is not None and a["auc"]["high"] < 0.5]


def _headline(attacks: list[dict[str, Any]], main: dict[str, Any]) -> list[Note]:
    found, name = [], main["name"]
    stronger = [
        attack["name"]
        for attack in attacks
        if attack["name"] != name and (attack["auc"]["low"] or 0) > (main["auc"]["high"] or 1)
    ]
    if stronger:
        found.append(
            (
                "stronger-attack",
                f"{', '.join(stronger)}: clearly stronger here than the headline {name}, on which the verdict and "
                "rules without a name rest; a rule may name its attack (ATTACK:auc>0.6)",
            )
        )
    if name in upside_down(attacks):
        found.append(
            (
                "worse-than-guessing",
                f"the headline {name} is surely worse than guessing: are members and non-members swapped?",
            )
        )
    return found


def _coarse(main: dict[str, Any], nonmembers: int) -> list[Note]:
    coarse = [f"{e['fpr']:g}" for e in main["tpr_at_fpr"] if e["resolvable"] != "yes"]
    if not coarse:
        return []
    return [
        (
            "few-nonmembers",
            f"{nonmembers:,} non-members are too few to judge a false-positive rate of {', '.join(coarse)}: "
            "fewer than 10 false positives are expected there",
        )
    ]


def _not_scored(attacks: list[dict[str, Any]], total: int) -> list[Note]:
    """A warning for every number of records without a score, with the attacks that share it."""
    without: dict[int, list[str]] = {}
    for attack in attacks:
        scored = attack["auc"]["n_members"] + attack["auc"]["n_nonmembers"]
        without.setdefault(total - scored, []).append(attack["name"])
    return [
        (
            "records-not-scored",
            f"{count:,} of {total:,} records could not be scored by {', '.join(names)}: they need shadow "
            "models that trained on a record, or that did not, and have none there, or (label-only-boundary) ask about "
            "attacks.boundary_records records only; their figures are about the others",
        )
        for count, names in without.items()
        if count
    ]


def _shadow_models(signals: Signals) -> list[Note]:
    if signals.shadows is None or not 0 < signals.shadows.models < 8:
        return []
    return [("few-shadow-models", f"{signals.shadows.models} shadow models make a weak attacker: 16 to 64 are usual")]


def _saturated(signals: Signals) -> list[Note]:
    return [
        (
            "saturated-answers",
            f"{answers.saturated:.1%} of the answers of {who} are 0 or 1 for the true class and were clipped "
            "before the logarithm: they tie, and attacks on them look weaker than on logits",
        )
        for who, answers in (("the target", signals.target), ("the shadow models", signals.shadows))
        if answers is not None and answers.saturated > 0.01
    ]
