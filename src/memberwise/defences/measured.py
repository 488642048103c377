"""What defences were measured to do to leakage (``benchmarks/defences_measured.py``): marks come from here alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from memberwise.types.parts import Plain

Finding = Literal["lower", "higher", "not told apart"]
WORDS: dict[str, str] = {"lower": "less", "higher": "more", "not told apart": "not told apart"}


@dataclass(frozen=True)
class Measurement:
    """One defence with its default parameters on one data set, beside the undefended model on the same records.

    Attributes:
        defence: as ``memberwise defend`` names it: "mixup", "answer:hamp".
        auc, undefended: of the strongest of the attacks, which ``attack`` and ``against`` name.
        low, high: interval of the difference, which holds for all attacks at once; it is about these records, not
            about another training.
        finding: "higher" or "lower" where the whole interval is on one side of 0.
    """

    defence: str
    data: str
    members: int
    nonmembers: int
    shadow_models: int
    auc: float
    attack: str
    undefended: float
    against: str
    low: float
    high: float
    finding: Finding

    @classmethod
    def of(cls, line: Plain) -> Measurement:
        mine, other, difference = line["auc"], line["undefended_auc"], line["difference"]
        sizes = (line["members"], line["nonmembers"], line["shadow_models"])
        return cls(
            line["defence"],
            line["data"],
            *sizes,
            auc=mine["value"],
            attack=mine["name"],
            undefended=other["value"],
            against=other["name"],
            low=difference["low"],
            high=difference["high"],
            finding=difference["finding"],
        )

    def words(self) -> str:
        """ "more on location30 (AUC 0.944, undefended 0.909)"."""
        return f"{WORDS[self.finding]} on {self.data} (AUC {self.auc:.3f}, undefended {self.undefended:.3f})"


@cache
def measurements() -> tuple[Measurement, ...]:
    """All that was measured."""
    text = files("memberwise.defences").joinpath("measured.json").read_text()
    return tuple(Measurement.of(line) for line in json.loads(text)["measurements"])


def measured(defence: str) -> list[Measurement]:
    """Of one defence, one for each data set."""
    return [one for one in measurements() if one.defence == defence]


def raised_leakage(defence: str) -> list[Measurement]:
    """Where it surely made the model give away more than the undefended one; the mark rests on these."""
    return [one for one in measured(defence) if one.finding == "higher"]
