"""The family of attacks that a gate is about, and its verdict, which waits until every warning is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from memberwise.assess.figures import AttackEvaluation
from memberwise.assess.notes import WITHHOLDING, upside_down
from memberwise.errors import DataError, Note
from memberwise.statistics import (
    EpsilonBound,
    Estimate,
    GateRule,
    Judged,
    Measured,
    Verdict,
    auc_difference,
    judge,
    ranked_both,
    verdict_of,
)
from memberwise.statistics.bounds import Measurable
from memberwise.statistics.gate import OF_NO_ATTACK, RECIPE
from memberwise.statistics.judging import JudgedFigure
from memberwise.types.arrays import Mask
from memberwise.types.parts import FIRST

Decision = Literal["passed", "failed", "inconclusive"]
# An attack whose AUC is surely this much higher than the headline's is clearly stronger.
CLEARLY = 0.01


@dataclass(frozen=True)
class Stronger:
    """An attack that is clearly stronger than the headline: how much higher its AUC is."""

    attack: str
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class AdjustedFigure(JudgedFigure):
    """A figure under a rule about the whole family."""

    rule: str = field(metadata=FIRST)


@dataclass(frozen=True)
class Family:
    """The ``family`` of ``result.json``: the attacks that a rule without an attack's name is about.

    Attributes:
        decision: on all such rules; None without any. adjusted: the bounds on which it rests.
        stronger: attacks that are clearly stronger than the headline, the strongest first.
    """

    names: tuple[str, ...]
    decision: Decision | None
    adjusted: tuple[AdjustedFigure, ...]
    stronger: tuple[Stronger, ...]


@dataclass(frozen=True)
class Gate:
    """All that the verdict needs but the warnings.

    Attributes:
        rules: of the study. family, headline: names of attacks.
        evaluations: of every attack that ran. member: ``(n,)`` the truth.
        epsilon: the bound of the audit, if any. confidence: of the study.
        recipe: attacks over all models in turn. exposed: the share of records above each personal risk.
        stored: training records that lie in the target itself; None where it has no structure to look at.
    """

    rules: Sequence[GateRule]
    family: Sequence[str]
    headline: str
    evaluations: Mapping[str, AttackEvaluation]
    member: Mask
    epsilon: EpsilonBound | None
    confidence: float
    recipe: Mapping[str, Measurable] = field(default_factory=dict)
    exposed: Mapping[float, Estimate] = field(default_factory=dict)
    stored: int | None = None

    def judge(self, warnings: Sequence[Note]) -> tuple[Verdict, Family]:
        """The verdict and the ``family`` of ``result.json``.

        A failure is a failure whatever the warnings say: what was shown to leak does leak. Nothing passes under a
        warning that voids the figures (``WITHHOLDING``), or on attacks that are surely worse than guessing.
        """
        measured = {name: Measured(one.scores, self.member, one.threshold) for name, one in self.evaluations.items()}
        judged = judge(
            self.rules, measured, self.family, self.confidence, self.epsilon, self.recipe, self.exposed, self.stored
        )
        voided = {code: message for code, message in warnings if code in WITHHOLDING}
        swapped = upside_down([one.figures for one in self.evaluations.values()])
        outcomes, withheld = [], set()
        for one in judged:
            why = voided or self._worse_than_guessing(one.rule, swapped)
            if one.passed and why:
                reason = f"{one.reason} But nothing passes here: {'; '.join(why.values())}."
                outcomes.append(replace(one, passed=None, reason=reason))
                withheld |= set(why)
            else:
                outcomes.append(one)
        return verdict_of(outcomes, sorted(withheld)), self._family(outcomes)

    def _worse_than_guessing(self, rule: GateRule, swapped: Sequence[str]) -> dict[str, str]:
        """Why a rule's attacks show nothing: all of them, or the headline among them, are worse than guessing."""
        names = list(self.family) if rule.attack in (None, RECIPE) else [str(rule.attack)]
        if not set(names) <= set(swapped) and self.headline not in set(names) & set(swapped):
            return {}
        worse = [name for name in names if name in swapped]
        verb = "is" if len(worse) == 1 else "are"
        return {
            "worse-than-guessing": f"{', '.join(worse)} {verb} surely worse than guessing, as if members were the "
            "non-members"
        }

    def _family(self, judged: Sequence[Judged]) -> Family:
        about = [one for one in judged if one.rule.attack is None and one.rule.metric not in OF_NO_ATTACK]
        outcomes = [one.passed for one in about]
        decided: Decision = "failed" if False in outcomes else "passed" if all(outcomes) else "inconclusive"
        return Family(
            names=tuple(self.family),
            decision=decided if about else None,
            adjusted=tuple(
                AdjustedFigure(rule=one.rule.text, **asdict(figure)) for one in about for figure in one.figures
            ),
            stronger=self._stronger(),
        )

    def _stronger(self) -> tuple[Stronger, ...]:
        """Attacks with an AUC clearly above the headline's, the strongest first: paired differences, with intervals
        that hold for all of them together."""
        other_attacks = [name for name in self.evaluations if name != self.headline]
        main, clearly = self.evaluations[self.headline], []
        for name in other_attacks:
            confidence = 1 - (1 - self.confidence) / len(other_attacks)
            try:
                pair = ranked_both(self.evaluations[name].scores, main.scores, self.member)
            except DataError:  # the two score no member, or no non-member, in common
                continue
            difference = auc_difference(*pair, confidence)
            if difference.low is not None and difference.low > CLEARLY:
                clearly.append(Stronger(name, difference))
        return tuple(sorted(clearly, key=lambda one: -one.difference.value))
