"""Attacks of the user's own: how a study calls one that is an object, and what is refused of it before a run."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Collection, Sequence
from typing import get_args, get_type_hints

from memberwise.attacks.base import LEVELS, Attack, Needs
from memberwise.errors import StudyError
from memberwise.signals.collectors.own import check_collector
from memberwise.signals.collectors.registry import COLLECTORS, is_built_in
from memberwise.study.entrypoint import code_hash

MARK = "@"
# As gate rules name attacks.
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*")
SHADOWS = ("none", "out", "in+out")


def study_name(attack: Attack) -> str:
    """What a study calls an attack that Python code gave as an object: its name, and a hash of the score's code."""
    score: object = attack.score
    while isinstance(score, functools.partial):
        score = score.func
    parts = (code_hash(score), str(attack.threshold), *attack.needs.words())
    return f"{attack.name}{MARK}{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


def is_study_name(name: str) -> bool:
    """The name of an attack that was given as an object."""
    attack, mark, digest = name.rpartition(MARK)
    return bool(mark) and NAME.fullmatch(attack) is not None and re.fullmatch("[0-9a-f]{12}", digest) is not None


def given_object(name: str, objects: Sequence[Attack]) -> Attack:
    """The object that a study calls so.

    Raises:
        StudyError: it is not among them.
    """
    for attack in objects:
        if study_name(attack) == name:
            return attack
    bare = name.partition(MARK)[0]
    raise StudyError(
        f"the attack {bare} was given in Python, as an object, and is not at hand",
        expected="the object, or the file in which it is defined",
        found=name,
        where="attacks.use (--attacks)",
        fix=f"memberwise.audit(attacks=[...]) with the object, or --attacks file.py:NAME in place of {name}",
    )


def check_own(attack: object, place: str, taken: Collection[str]) -> Attack:
    """The attack, where it is one that can be run and has a name of its own.

    Args:
        place: how the user named it. taken: names it must not have.

    Raises:
        StudyError: with what is wrong.
    """
    where = f"attacks.use ({place})"
    if not isinstance(attack, Attack):
        kind = type(attack).__name__
        what = f"the class {attack.__name__}" if isinstance(attack, type) else f"an object of type {kind}"
        raise StudyError(
            f"{place} is no attack",
            expected="an Attack (memberwise.attacks.Attack)",
            found=what,
            where="attacks.use (--attacks)",
            fix="Attack(name, score, needs=Needs(...), source=..., summary=...)",
        )
    if not isinstance(attack.name, str) or not NAME.fullmatch(attack.name):
        raise StudyError(
            "an attack has a name that cannot be used",
            expected="letters, digits, -, _ and . alone",
            found=repr(attack.name),
            where=where,
        )
    if attack.name in taken:
        raise StudyError(
            f"an attack of one's own cannot be called {attack.name}: a built-in one has that name",
            expected="a name that memberwise list attacks does not show",
            found=f"{place} beside the built-in {attack.name}",
            where=where,
            fix="give it another name=",
        )
    _check_needs(attack, where)
    return attack


def _check_needs(attack: Attack, where: str) -> None:
    """What it says of its needs and its threshold exists, and its score can be called."""
    needs: object = attack.needs
    if not isinstance(needs, Needs):
        raise StudyError(
            f"the attack {attack.name} does not say what it needs", expected="needs=Needs(...)", where=where
        )
    score: object = attack.score
    if not callable(score):
        kind = type(score).__name__
        raise StudyError(f"the score of {attack.name} is no function", expected="score(signals, rng)", found=kind)
    stated: list[tuple[str, object, Sequence[object]]] = [
        ("needs.answers", needs.answers, LEVELS),
        ("needs.shadows", needs.shadows, SHADOWS),
        ("threshold_from", attack.threshold_from, get_args(get_type_hints(Attack)["threshold_from"])),
    ]
    if isinstance(needs.extra, str):
        stated.append(("needs.extra", needs.extra, tuple(COLLECTORS)))
    if not isinstance(attack.threshold, int | float) or isinstance(attack.threshold, bool):
        stated.append(("threshold", attack.threshold, ("chosen", "search")))
    for key, value, known in stated:
        if value not in known:
            raise StudyError(
                f"the attack {attack.name} states a {key} that there is not",
                expected="one of " + ", ".join(map(str, known)),
                found=repr(value),
                where=where,
            )
    if needs.extra is not None and not isinstance(needs.extra, str):
        collector = needs.extra
        names = () if hasattr(collector, "name") and is_built_in(collector) else COLLECTORS
        check_collector(collector, names, where)
