"""What this way of training gives away, said apart from what this one model does."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.assess.recipe import RecipeFigures
from memberwise.assess.units import UnitFigures
from memberwise.report import sentence
from memberwise.report.formats import count, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source


class Recipe(Section):
    """Every shadow model in the target's place in turn: means with intervals over trainings and records."""

    id, link, template = "recipe", "The recipe", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        part = source.result.recipe
        if part is None:
            return None
        words = sentence.interval_words(source.result)
        return {
            "heading": "What this way of training gives away",
            "intro": f"The figures above are about this one model. These are about its recipe: {part.estimand}. "
            f"{count(part.models)} shadow models took the target's place, {count(part.trainings)} of them trained "
            "independently of each other (two of a complementary pair are one training). A difference between an "
            "attack's figure here and on this model is chance, or shows that the model was not trained by that recipe.",
            "pairs": [(row.attack, _beside_model(row, source.result, words)) for row in part.attacks],
        }

    def lines(self, result: AuditResult) -> list[str]:
        return [text] if (text := recipe_sentence(result)) else []


def recipe_sentence(result: AuditResult) -> str | None:
    """The first attack's figures beside this model's, and the highest of all attacks', for the terminal."""
    part = result.recipe
    if part is None:
        return None
    words, first = sentence.interval_words(result), part.attacks[0]
    figures = _beside_model(first, result, words)
    text = f"This way of training, over {count(part.models)} models in turn, by {part.attack}: {figures}."
    highest = max(part.attacks, key=lambda row: row.auc.value)
    if highest is first:
        return text
    among = f"the highest of {count(len(part.attacks))} attacks"
    return f"{text} By {highest.attack}, {among}: AUC {spoken(highest.auc, 'number', words)}."


def _beside_model(row: RecipeFigures, result: AuditResult, words: str) -> str:
    """An attack's figures over models in turn, and its AUC on this model."""
    figures = figures_in_words(row, words)
    on_model = next((one.auc for one in result.attacks if one.name == row.attack), None)
    return figures if on_model is None else f"{figures}; on this model AUC {spoken(on_model, 'number', words)}"


def figures_in_words(row: RecipeFigures | UnitFigures, words: str) -> str:
    """AUC, and the TPR at each rate that the records resolve."""
    resolved = [one for one in row.tpr_at_fpr if one.resolvable != "no"]
    rates = [f"TPR at {rate(one.fpr)} FPR {spoken(one, 'share', words)}" for one in resolved]
    return "; ".join([f"AUC {spoken(row.auc, 'number', words)}", *rates])
