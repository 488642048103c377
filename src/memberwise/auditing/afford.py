"""How many questions an audit of a served model has, and which of them fit a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memberwise.attacks.base import Attack
from memberwise.errors import StudyError
from memberwise.signals.questions import Collector, Questions
from memberwise.signals.views import query_views
from memberwise.types.arrays import Ints

# The rounds in which the probes are asked about again.
ROUNDS = 2


@dataclass(frozen=True)
class Need:
    """How many questions an audit of a served model has, at most.

    Attributes:
        base: what every attack reads, each record once. lean: without the records that tell accuracies alone.
        probes: records that are asked about again.
        collectors: further questions, by collector; None: not known before.
        attacks: by attack, which collector it needs.
    """

    base: int
    lean: int
    probes: int
    collectors: dict[str, int | None]
    attacks: dict[str, str | None]

    @classmethod
    def of(cls, questions: Questions, attacks: Sequence[Attack], made: Sequence[Collector], probes: int) -> Need:
        """From what the target is asked."""
        views = len(query_views(questions.queries))
        main, more = _distinct(questions, _main(questions)), _distinct(questions, _all(questions))
        return cls(
            base=main * views + more - main,
            lean=main * views,
            probes=ROUNDS * min(probes, len(questions.audited)),
            collectors={one.name: asks(one, questions) for one in made},
            attacks={attack.name: attack.needs.extra_name for attack in attacks},
        )

    def of_attack(self, name: str) -> int | None:
        """All that an attack reads; None: not known before."""
        extra = self.attacks[name]
        more = 0 if extra is None else self.collectors[extra]
        return None if more is None else self.base + more


@dataclass(frozen=True)
class Grant:
    """What a budget grants of a need.

    Attributes:
        lean: accuracies are of audited records alone. refused: collectors that do not fit, each with the reason.
    """

    lean: bool = False
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asking:
    """What is asked of a served model, for those who are to pay for it.

    Attributes:
        records: questions that every attack reads. probes: asked about again. attacks: by attack, all questions that
            it reads; None: not known before. by_labels: likewise, of those that run where labels alone are answered.
        total: at most, of the attacks that fit; None: not known. max_queries: the budget. skipped: attacks that do not
            fit it, each with the reason.
    """

    records: int
    probes: int
    attacks: dict[str, int | None]
    by_labels: dict[str, int | None]
    total: int | None
    max_queries: int | None
    skipped: dict[str, str]

    def lines(self) -> list[str]:
        """For a person."""
        counts = sorted({(n is None, n or 0) for n in self.attacks.values()})
        counted = []
        for unknown, count in counts:
            names = [name for name, n in self.attacks.items() if (n is None, n or 0) == (unknown, count)]
            text = "not known before" if unknown else f"{count:,}"
            counted.append(f"              {text}: {', '.join(names)}")
        labels = ", ".join(f"{name} {'?' if n is None else f'{n:,}'}" for name, n in self.by_labels.items())
        most = "" if self.max_queries is None else f" of {self.max_queries:,} (--max-queries)"
        total = "not known before" if self.total is None else f"{self.total:,} at most"
        return [
            f"questions     {total}{most}; {self.probes:,} of them ask again; by attack, all that it reads:",
            *counted,
            f"              where only labels are answered: {labels}",
            *(f"skipped       {name}: {reason}" for name, reason in self.skipped.items()),
        ]


def grant(need: Need, most: int | None, wasted: int = 0) -> Grant:
    """Which questions fit a budget; the collectors with the fewest first.

    Args:
        most: questions in all; None: any number. wasted: of these, questions that brought no answer.

    Raises:
        StudyError: not even the records themselves can be asked about.
    """
    if most is None:
        return Grant()
    remaining = most - wasted - need.probes
    lean = need.base > remaining
    first = need.lean if lean else need.base
    if first > remaining:
        lost = f", of which {wasted:,} brought no answer" if wasted else ""
        raise StudyError(
            "the budget of questions does not do for the records themselves",
            expected=f"{first + need.probes + wasted:,} at least: {first:,} distinct records (audited ones and the "
            f"population's, with their views), and {need.probes:,} asked again{lost}",
            found=f"--max-queries {most:,}",
            where="target.max_queries",
            fix="a larger budget, or fewer members, non-members and population records",
        )
    remaining -= first
    refused = {}
    for name, count in sorted(need.collectors.items(), key=lambda item: (item[1] is None, item[1] or 0)):
        if (count or 0) > remaining or remaining < 1:
            refused[name] = (
                f"needs {'further' if count is None else f'{count:,} further'} questions, and --max-queries {most:,} "
                f"leaves {max(0, remaining):,}"
            )
        else:
            remaining -= count or 0
    return Grant(lean, refused)


def _main(questions: Questions) -> Ints:
    return np.concatenate([questions.audited, questions.population])


def _all(questions: Questions) -> Ints:
    rows = [_main(questions), questions.background, questions.test]
    return np.concatenate(rows if questions.validation is None else [*rows, questions.validation])


def _distinct(questions: Questions, rows: Ints) -> int:
    """Records that differ."""
    return len({questions.x[row].tobytes() for row in np.unique(rows)})


def asks(collector: Collector, questions: Questions) -> int | None:
    """How many questions a collector puts to one model at most; None where it does not say."""
    said = getattr(collector, "asks", None)
    return int(said(questions)) if callable(said) else None
