"""The family of attacks that a gate is about, and its verdict, which waits until every warning is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.assess.figures import AttackEvaluation
from memberwise.assess.notes import WITHHOLDING, Note, upside_down
from memberwise.errors import DataError
from memberwise.statistics import GateRule, Judged, Measured, Verdict, auc_difference, judge, ranked_both, verdict_of

# An attack whose AUC is surely this much higher than the headline's is clearly stronger.
CLEARLY = 0.01


@dataclass(frozen=True)
class Gate:
    """All that the verdict needs but the warnings.

    Attributes:
        rules: of the study. family, headline: names of attacks.
        found: every attack that ran. member: ``(n,)`` the truth.
        epsilon: as ``result.json`` holds it. confidence: of the study.
    """

    rules: Sequence[GateRule]
    family: Sequence[str]
    headline: str
    found: Mapping[str, AttackEvaluation]
    member: NDArray[np.bool_]
    epsilon: Mapping[str, Any] | None
    confidence: float

    def judge(self, warnings: Sequence[Note]) -> tuple[Verdict, dict[str, Any]]:
        """The verdict and the ``family`` of ``result.json``.

        A failure is a failure whatever the warnings say: what was shown to leak does leak. Nothing passes under a
        warning that voids the figures (``WITHHOLDING``), or on attacks that are surely worse than guessing.
        """
        measured = {name: Measured(one.scores, self.member, one.threshold) for name, one in self.found.items()}
        judged = judge(self.rules, measured, self.family, self.confidence, self.epsilon)
        voided = {code: message for code, message in warnings if code in WITHHOLDING}
        swapped = upside_down([one.entry for one in self.found.values()])
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
        names = list(self.family) if rule.attack is None else [rule.attack]
        if not set(names) <= set(swapped) and self.headline not in set(names) & set(swapped):
            return {}
        worse = [name for name in names if name in swapped]
        verb = "is" if len(worse) == 1 else "are"
        return {
            "worse-than-guessing": f"{', '.join(worse)} {verb} surely worse than guessing, as if members were the "
            "non-members"
        }

    def _family(self, judged: Sequence[Judged]) -> dict[str, Any]:
        """``decision`` is about the rules without an attack's name; None without any. ``adjusted``: its bounds."""
        about = [one for one in judged if one.rule.attack is None and one.rule.metric != "epsilon"]
        outcomes = [one.passed for one in about]
        decision = None if not about else "failed" if False in outcomes else "passed" if all(outcomes) else None
        return {
            "names": list(self.family),
            "decision": "inconclusive" if about and decision is None else decision,
            "adjusted": [{"rule": one.rule.text, **figure} for one in about for figure in one.figures],
            "stronger": self._stronger(),
        }

    def _stronger(self) -> list[dict[str, Any]]:
        """Attacks with an AUC clearly above the headline's, the strongest first: paired differences, with intervals
        that hold for all of them together."""
        others = [name for name in self.found if name != self.headline]
        main, clearly = self.found[self.headline], []
        for name in others:
            confidence = 1 - (1 - self.confidence) / len(others)
            try:
                pair = ranked_both(self.found[name].scores, main.scores, self.member)
            except DataError:  # the two score no member, or no non-member, in common
                continue
            difference = auc_difference(*pair, confidence)
            if difference.low is not None and difference.low > CLEARLY:
                clearly.append({"attack": name, "difference": difference.to_dict()})
        return sorted(clearly, key=lambda one: -one["difference"]["value"])
