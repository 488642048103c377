"""Every attack by name: a new attack is one line here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from memberwise.attacks import (
    attack_p,
    attack_r,
    bavaria,
    calibration,
    classwise,
    gap,
    gradient_norm,
    informia,
    label_only,
    lira,
    ml_leaks,
    nasr,
    privacy_risk_score,
    quantile,
    rmia,
    shokri,
    thresholds,
    top_one,
)
from memberwise.attacks import (
    bayes_base as base,
)
from memberwise.attacks.base import Attack
from memberwise.attacks.learned import attack as learned
from memberwise.errors import StudyError


def by_name(attacks: Iterable[Attack]) -> dict[str, Attack]:
    """A registry, in the order given; a name used twice is refused."""
    registry: dict[str, Attack] = {}
    for attack in attacks:
        if attack.name in registry:
            raise ValueError(f"two attacks are called {attack.name}")
        registry[attack.name] = attack
    return registry


ATTACKS = by_name(
    [
        gap.ATTACK,
        *thresholds.ATTACKS,
        *classwise.ATTACKS,
        top_one.ATTACK,
        top_one.SEARCH,
        privacy_risk_score.ATTACK,
        *shokri.ATTACKS,
        *ml_leaks.ATTACKS,
        *lira.ATTACKS,
        *rmia.ATTACKS,
        attack_p.ATTACK,
        attack_r.ATTACK,
        calibration.ATTACK,
        base.ATTACK,
        bavaria.ATTACK,
        informia.ATTACK,
        quantile.ATTACK,
        nasr.ATTACK,
        *label_only.ATTACKS,
        *gradient_norm.ATTACKS,
        *learned.ATTACKS,
    ]
)


def choose(names: Sequence[str]) -> list[Attack]:
    """The attacks of these names, in the registry's order; "default" and "all" stand for many.

    Raises:
        StudyError: a name is unknown, or there is none.
    """
    groups = {"all": set(ATTACKS), "default": {name for name, attack in ATTACKS.items() if attack.default}}
    chosen: set[str] = set()
    for name in names:
        if name not in groups and name not in ATTACKS:
            close = get_close_matches(name, [*ATTACKS, *groups], cutoff=0.5)
            raise StudyError(
                f"there is no attack called {name!r}",
                expected=f"perhaps {' or '.join(close)}" if close else '"default", "all" or attacks by name',
                where="attacks.use (--attacks)",
                fix="memberwise list attacks shows all of them",
            )
        chosen |= groups.get(name, {name})
    if not chosen:
        raise StudyError("no attack is chosen", expected='"default", "all" or names', where="attacks.use (--attacks)")
    return [attack for name, attack in ATTACKS.items() if name in chosen]
