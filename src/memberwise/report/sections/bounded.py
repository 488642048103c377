"""What is bounded, by how much, what was measured in both games, and what the bound does not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memberwise.assess.bounded import BoundPart, GameTwo
from memberwise.assess.games import Bayesian
from memberwise.defences.bounded.words import OF_VOTES, bounded_in_short, up, up_percent
from memberwise.report import sentence
from memberwise.report.formats import count, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source


class WhatIsBounded(Section):
    """The bound in words, never without the game that it is not about; and both games as measured."""

    id, link, template = "bound", "What is bounded", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        part = source.result.bound
        if part is None:
            return None
        return {
            "heading": "What is bounded, and what is only measured",
            "intro": part.sentences,
            "pairs": list(_pairs(part, sentence.interval_words(source.result))),
        }

    def lines(self, result: AuditResult) -> list[str]:
        part = result.bound
        if part is None:
            return []
        words = sentence.interval_words(result)
        measured = [f"{name}: {text}" for name, text in _pairs(part, words) if name.startswith("Game")]
        return [part.sentences, *measured]


def _pairs(part: BoundPart, words: str) -> Iterator[tuple[str, str]]:
    yield "Bounded", f"{bounded_in_short(part)}, by {part.defence}"
    if part.per_question is not None:
        yield "Each new question", f"at most {up(part.per_question)} nats; one that is asked again costs nothing"
    if part.epsilon_of_votes is not None:
        yield "Epsilon by the votes", f"{up(part.epsilon_of_votes)}, {OF_VOTES}"
    for one in part.measured.game_one:
        yield f"Game i, measured: an exact attacker who {one.attacker}", _of_game_one(one, words)
    if part.measured.game_two is not None:
        bounded = "bounded, and measured" if part.game == "ii" else "not bounded, measured only"
        yield f"Game ii, {bounded}: in the pool, against never in it", _of_game_two(part.measured.game_two, words)


def _of_game_one(one: Bayesian, words: str) -> str:
    rates = [f"TPR at {rate(row.fpr)} FPR {spoken(row, 'share', words)}" for row in one.tpr_at_fpr]
    figures = [f"AUC {spoken(one.auc, 'number', words)}", *(rates if one.tpr_at_fpr else [])]
    allowed = f"{up(one.nats)} nats allow {up_percent(one.bound)}"
    return (
        f"balanced accuracy {spoken(one.accuracy, 'share', words)}, where {allowed}; "
        f"{'; '.join(figures)} (over {count(one.secrets)} secrets, {count(one.questions)} questions each)"
    )


def _of_game_two(two: GameTwo, words: str) -> str:
    rates = [f"TPR at {rate(row.fpr)} FPR {spoken(row, 'share', words)}" for row in two.tpr_at_fpr]
    figures = [f"balanced accuracy {spoken(two.balanced_accuracy, 'share', words)}"] if two.balanced_accuracy else []
    if two.auc:
        figures.append(f"AUC {spoken(two.auc, 'number', words)}")
    return f"by {two.attack}: {'; '.join([*figures, *rates])}"
