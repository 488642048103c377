"""Every attack by name: a new attack is one line here."""

from __future__ import annotations

from collections.abc import Sequence

from memberwise.attacks import (
    attack_p,
    attack_r,
    base_matched,
    bavaria,
    calibration,
    cascade,
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
from memberwise.attacks.own import check_own, given_object, is_study_name
from memberwise.errors import StudyError, did_you_mean
from memberwise.registry import Registry, instance_of
from memberwise.study.entrypoint import is_entrypoint

_BUILT_IN = [
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
    base_matched.ATTACK,
    bavaria.ATTACK,
    informia.ATTACK,
    quantile.ATTACK,
    nasr.ATTACK,
    *label_only.ATTACKS,
    label_only.NEAR,
    *gradient_norm.ATTACKS,
    *learned.ATTACKS,
    cascade.ATTACK,
]
ATTACKS: Registry[Attack] = Registry(
    "attack",
    ((attack.name, attack) for attack in _BUILT_IN),
    fits=instance_of(Attack),
    kinds=(Attack,),
    form="file.py:ATTACK",
    group="memberwise.attacks",
    otherwise="memberwise list attacks shows them",
)
GROUPS = {"all": frozenset(ATTACKS), "default": frozenset(name for name, attack in ATTACKS.items() if attack.default)}
WHERE = "attacks.use (--attacks)"


def is_built_in(attack: Attack) -> bool:
    """One of the attacks above, and none of the user's own."""
    return ATTACKS.get(attack.name) is attack


def choose(names: Sequence[str], objects: Sequence[Attack] = ()) -> list[Attack]:
    """The attacks of these names, in the registry's order, then the user's own; "default" and "all" stand for many.

    Args:
        names: of built-in attacks or installed plug-ins; ``file.py:ATTACK`` and ``module:ATTACK``.
        objects: what Python code gave as objects; a study calls them by ``study_name``.

    Raises:
        StudyError: a name is unknown, or there is none; an attack of the user's own is none, or has another's name.
    """
    chosen: set[str] = set()
    extras: dict[str, Attack] = {}
    for name in dict.fromkeys(names):
        if name in GROUPS or name in ATTACKS:
            chosen |= GROUPS.get(name, {name})
            continue
        attack = _own_attack(name, objects)
        if extras.setdefault(attack.name, attack) is not attack:
            raise StudyError(f"two attacks are called {attack.name}", found=", ".join(names), where=WHERE)
    if not chosen and not extras:
        raise StudyError("no attack is chosen", expected='"default", "all" or names', where=WHERE)
    return [*(attack for name, attack in ATTACKS.items() if name in chosen), *extras.values()]


def _own_attack(name: str, objects: Sequence[Attack]) -> Attack:
    """The user's own attack of this name in a study: an object, in a file, or of an installed package."""
    attack = given_object(name, objects) if is_study_name(name) else ATTACKS.look_up(name, WHERE)
    if attack is None and not is_entrypoint(name):
        in_file = f"{name}:NAME, where NAME is the attack in that file" if name.endswith(".py") else None
        raise StudyError(
            f"there is no attack called {name!r}",
            expected='"default", "all" or attacks by name',
            where=WHERE,
            fix=in_file or did_you_mean(name, [*ATTACKS, *GROUPS]) or "memberwise list attacks shows all of them",
        )
    checked = check_own(attack, name, {*ATTACKS, *GROUPS})
    if ATTACKS.has_plugin(name) and checked.name != name:
        raise StudyError(f"the plug-in {name} holds an attack of another name", found=checked.name, where=WHERE)
    return checked
