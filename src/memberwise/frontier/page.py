"""The page of a frontier: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from memberwise.frontier.figure import frontier
from memberwise.report.formats import number, percent, plain, rate, shown


def render(facts: Mapping[str, Any]) -> str:
    """``frontier.html`` from ``frontier.json``'s facts; the same facts give the same bytes."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("memberwise.frontier"), PackageLoader("memberwise.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(shown=shown, percent=percent, plain=plain, rate=rate)
    plots = [Markup(frontier(facts, against)) for against in ("tpr", "attack_accuracy")]  # noqa: S704 (our own SVG)
    return environment.get_template("frontier.html.j2").render(
        facts=facts,
        plots=plots,
        lead=lead(facts),
        title=f"{facts['study']['data']['source']}, {facts['study']['model']['name']}",
    )


def lead(facts: Mapping[str, Any]) -> str:
    """The recommendation in one or two sentences."""
    best = facts["recommended"]
    if best is None:
        return f"No point keeps to the constraint ({facts['constraint']})."
    row, plain_row = facts["points"][best], facts["points"][0]
    if best == 0:
        return f"No defence gives less away than the undefended model within the constraint ({facts['constraint']})."
    text = f"{row['label']}: {_compared(row, plain_row, facts['fpr'])}."
    confirmation = facts["confirmation"]
    if confirmation is None:
        return text
    again = _compared(confirmation["recommended"], confirmation["undefended"], facts["fpr"])
    return f"{text} On a fresh seed: {again}."


def _compared(row: Mapping[str, Any], plain_row: Mapping[str, Any], fpr: float) -> str:
    return (
        f"TPR at {rate(fpr)} FPR {_value(row['tpr'])} instead of {_value(plain_row['tpr'])}, "
        f"test accuracy {_value(row['test_accuracy'])} instead of {_value(plain_row['test_accuracy'])}"
    )


def _value(part: Mapping[str, Any] | None) -> str:
    return percent(number(part["value"]) if part else None)
