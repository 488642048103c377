"""What a study asks of the signals, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memberwise.attacks import cascade
from memberwise.attacks.base import Attack
from memberwise.attacks.label_only import NEAR
from memberwise.attacks.registry import ATTACKS, choose, is_built_in
from memberwise.defences.output.registry import answered_kind, is_bounded
from memberwise.errors import StudyError, did_you_mean
from memberwise.signals.collectors.registry import collectors
from memberwise.signals.questions import Collector
from memberwise.statistics import GateRule, auto_fprs, check_precision, parse_rule
from memberwise.statistics.gate import OF_NO_ATTACK, RECIPE
from memberwise.study.models import ROUND
from memberwise.study.rules import bounds_epsilon
from memberwise.study.schema import Study
from memberwise.types.arrays import Mask

# The family: what a rule without an attack's name is about, the strongest attack of each kind of access.
FAMILY = ("cascade", "learned", "learned-offline", "lira-online-shrunk", "base", "base-matched", "rmia-online", "gap")
# With shadow models for its rounds it runs, named or not.
CASCADE = cascade.ATTACK.name
# So many where a rule is about the family and nothing is said: a gate meets the strongest attack there is.
GATED_CASCADE = 2 * ROUND
# They join the family where answers are labels: of the others only the gap attack could read those.
LABEL_ONLY = ("label-only-augment", "label-only-noise", "label-only-boundary")
# They join it where answers have a bound and are drawn: repetition, and copies at few questions each.
OF_BOUNDED = ("label-only-augment", "label-only-near")


@dataclass(frozen=True)
class AttackRequest:
    """The attacks and gate rules of a study.

    Attributes:
        cascade: how many shadow models a cascade trains; 0: none is run. unasked: nobody says so but the rules.
    """

    attacks: list[Attack]
    rules: list[GateRule]
    cascade: int = 0
    unasked: bool = False

    @classmethod
    def of(cls, study: Study, objects: Sequence[Attack] = ()) -> AttackRequest:
        """Attacks and gate rules of a study, plus those which rules and headline name; the label-only ones where a rule
        is about the family and an output defence leaves labels alone; and those for answers with a bound.

        Args:
            objects: attacks that Python code gave as objects, which the study calls by ``study_name``.

        Raises:
            StudyError: an unknown attack, a malformed rule, one on an epsilon that only describes, more targets than
                models, or canaries on which no model would train.
        """
        rules = [parse_rule(text) for text in study.gate.rules]
        _check_epsilon(rules, study)
        _check_targets(study)
        _check_canaries(study)
        attacks = choose(study.attacks.use, objects)
        headline = [study.attacks.headline] if study.attacks.headline else []
        named = [rule.attack for rule in rules if rule.attack not in (None, RECIPE)] + headline
        in_groups = {attack.name for attack in attacks} - {CASCADE}  # there it runs where its models are
        by_name = [*study.attacks.use, *named, *in_groups]
        models = _models_of_cascade(study, rules, by_name)
        unasked = bool(models) and study.shadow.cascade is None and CASCADE not in by_name
        named += [CASCADE] if models else []
        more = [name for name in named if name not in {attack.name for attack in attacks}]
        for name in more:
            if name not in ATTACKS and not ATTACKS.has_plugin(name):
                known = [*ATTACKS, *(attack.name for attack in attacks if attack.name not in ATTACKS)]
                raise StudyError(
                    f"there is no attack {name}",
                    where="attacks.headline or gate.rules",
                    fix=did_you_mean(name, known) or "memberwise list attacks shows them",
                )
        if "default" in study.attacks.use and any(rule.attack is None for rule in rules):
            more += LABEL_ONLY if study.answer and answered_kind(study.answer) == "labels" else ()
        if "default" in study.attacks.use and any(is_bounded(one) for one in study.answer):
            more += OF_BOUNDED
        return cls(choose([*study.attacks.use, *more], objects) if more else attacks, rules, models, unasked)

    @property
    def rounds(self) -> int:
        """Of a cascade."""
        return self.cascade // ROUND

    @property
    def own(self) -> list[Attack]:
        """The user's own among the attacks: their code may change while the study stays the same."""
        return [attack for attack in self.attacks if not is_built_in(attack)]

    def collectors(self, study: Study) -> tuple[Collector, ...]:
        """The collectors whose answers the attacks read."""
        return collectors([attack.needs.extra for attack in self.attacks if attack.needs.extra], study.attacks)

    def check_share(self, member: Mask) -> None:
        """Refuse limits on precision that guessing reaches, once it is known who is audited.

        Args:
            member: ``(n,)`` of the audited records.
        """
        check_precision(self.rules, int(member.sum()), int((~member).sum()))

    def fprs(self, study: Study, nonmembers: int) -> list[float]:
        """False-positive rates to report, largest first: the study's (or automatic) and those the gate asks about."""
        rates = study.statistics.fpr
        chosen = auto_fprs(nonmembers) if isinstance(rates, str) else rates
        return sorted({*chosen, *(rule.fpr for rule in self.rules if rule.fpr is not None)}, reverse=True)


def _check_epsilon(rules: Sequence[GateRule], study: Study) -> None:
    texts = [rule.text for rule in rules if rule.metric == "epsilon"]
    if texts and not bounds_epsilon(study):
        raise StudyError(
            "epsilon cannot be gated on: from the records of one run it describes, it bounds nothing",
            expected="memberships drawn by independent coins (--coins), or canaries under 8 shadow models or more",
            found="; ".join(texts),
            where="--fail-if or gate.rules",
        )


def _check_targets(study: Study) -> None:
    targets, models = study.statistics.targets, 1 + study.shadow.count
    known = study.outputs.file is None and study.shadow.budget is None
    if targets is not None and known and targets > models:
        raise StudyError(
            "more models are to take the target's place than there are",
            expected=f"at most {models}: the target and {study.shadow.count} shadow models",
            found=str(targets),
            where="statistics.targets",
            fix="more shadow models, or fewer targets",
        )


def _check_canaries(study: Study) -> None:
    if study.canaries.count and (study.outputs.file or study.target.given or study.shadow.data != "halves"):
        raise StudyError(
            "canaries are for a target and shadow models which train on them",
            expected='a target that is trained here, and shadow.data = "halves"',
            found="saved answers"
            if study.outputs.file
            else study.target.file or study.target.endpoint or f"shadow.data = {study.shadow.data}",
            where="canaries.count",
        )


def _models_of_cascade(study: Study, rules: Sequence[GateRule], named: Sequence[str]) -> int:
    """The study's own number; else ``GATED_CASCADE`` where a rule is about the family and a cascade can be run; else 0.

    Args:
        named: the attacks that are asked for, one by one, by the study, its rules or its headline.

    Raises:
        StudyError: a cascade is asked for and cannot be run, or nobody says of how many models.
    """
    shadow, asked = study.shadow, CASCADE in named
    refused = next((one for one in _obstacles(study) if one[0]), None)
    if (shadow.cascade or asked) and refused is not None:
        raise StudyError(
            "a cascade trains further shadow models on halves of the audited records, after a known number",
            expected=f"a target that can be asked, and {ROUND} shadow models or more before the cascade",
            found=refused[1],
            where="shadow.cascade",
            fix=refused[2],
        )
    models = shadow.cascade or 0
    if shadow.cascade is None and refused is None:
        of_family = any(rule.attack is None and rule.metric not in OF_NO_ATTACK for rule in rules)
        labels = bool(study.answer) and answered_kind(study.answer) == "labels"
        begun = cascade.FIRST.name in named and not labels
        models = GATED_CASCADE if of_family and (asked or begun) else 0
    if asked and not models:
        raise StudyError(
            f"the attack {CASCADE} trains shadow models of its own, and is told how many",
            found="no number" if shadow.cascade is None else "shadow.cascade = 0",
            where="shadow.cascade",
            fix=f"--cascade {4 * ROUND}",
        )
    return models


def _obstacles(study: Study) -> list[tuple[bool, str, str]]:
    """What keeps a cascade from being run: whether it is so, what was found, and what to do."""
    shadow = study.shadow
    return [
        (study.outputs.file is not None, "saved answers", f"the model itself, or leave {CASCADE} out"),
        (shadow.data != "halves", f"shadow.data = {shadow.data}", 'shadow.data = "halves"'),
        (shadow.budget is not None, f"shadow.budget = {shadow.budget}", "--shadow-models in place of a budget of time"),
        (shadow.count < ROUND, f"shadow.count = {shadow.count}", f"--shadow-models {ROUND}, or more"),
    ]


def family_of(ran: Sequence[str], headline: str, kind: str) -> list[str]:
    """The attacks that a rule without a name is about: of the family named before the run those that ran, and the
    headline; where none of the family is among the study's attacks, all of these.

    Args:
        ran: names of the attacks that ran. kind: of the target's answers.
    """
    named = (*FAMILY, *(LABEL_ONLY if kind == "labels" else ()), *(OF_BOUNDED if NEAR.name in ran else ()))
    if not set(ran) & set(named):
        return list(ran)
    return [name for name in ran if name in named or name == headline]
