"""The page of a frontier: one HTML file that needs nothing else."""

from __future__ import annotations

from markupsafe import Markup

from memberwise.frontier.choose import canary_rates
from memberwise.frontier.figure import frontier
from memberwise.frontier.schema import FrontierResult, Measure
from memberwise.frontier.words import (
    MARKS,
    MARKS_EXPLAINED,
    any_bounded,
    bounded_words,
    compared,
    finding_words,
    guarantee_words,
    lead,
    listed,
    measures_words,
    other_games,
    people_words,
    unconfirmed,
)
from memberwise.report.html import page_environment


def render(facts: FrontierResult) -> str:
    """``frontier.html`` from ``frontier.json``'s facts; the same facts give the same bytes."""
    environment = page_environment("memberwise.frontier", "memberwise.report")
    words = {
        "compared": compared,
        "finding_words": finding_words,
        "bounded_words": bounded_words,
        "guarantee_words": guarantee_words,
        "listed": listed,
        "measures_words": measures_words,
        "unconfirmed": unconfirmed,
    }
    environment.globals.update(words)
    measures: tuple[Measure, ...] = ("tpr", "auc")
    plots = [Markup(frontier(facts, against)) for against in measures]  # noqa: S704 (our own SVG)
    points = facts.points
    return environment.get_template("frontier.html.j2").render(
        facts=facts,
        plots=plots,
        lead=lead(facts),
        bounded=any_bounded(facts),
        other_games=other_games(facts),
        marks=MARKS,
        explained=MARKS_EXPLAINED,
        marked=[mark for mark in MARKS_EXPLAINED if any(row.rate == mark for row in points)],
        people=[points[place] for place in sorted({0, facts.recommended or 0}) if points[place].people],
        said=people_words(points[facts.recommended or 0], points[0], facts),
        canaries=any(row.canaries for row in points),
        canary_rates=canary_rates(points),
        title=f"{facts.study['data']['source']}, {facts.study['model']['name']}",
    )
