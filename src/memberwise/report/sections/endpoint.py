"""In words: how a served model was asked."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report.formats import count, plain
from memberwise.report.schema import AuditResult, EndpointFacts
from memberwise.report.sections.base import Section, Source

HEADING = "The served model"
INTRO = "The target was asked where it is served; its answers are what the server gives, with whatever it does to them."


class Served(Section):
    """A served model's address, its answers, and the questions."""

    id, link, template = "endpoint", "Endpoint", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        facts = source.result.target.endpoint
        return None if facts is None else {"heading": HEADING, "intro": INTRO, "pairs": pairs(facts)}

    def lines(self, result: AuditResult) -> list[str]:
        facts = result.target.endpoint
        return [] if facts is None else [f"Asked {facts.address}: {_questions(facts)}; answers: {_answers(facts)}."]


def pairs(facts: EndpointFacts) -> list[tuple[str, str]]:
    """What was asked, whom and how."""
    model = "" if facts.model is None else f", model {facts.model}"
    version = "" if facts.version is None else f", version {facts.version}"
    rows = [
        ("address", facts.address),
        ("protocol", f"{facts.protocol}{model}{version}"),
        ("answers", f"{_answers(facts)}; told {facts.told}"),
        ("questions", _questions(facts)),
    ]
    if facts.from_store:
        text = f"{count(facts.from_store)} answers were kept from an earlier run and not asked for again"
        rows.append(("from the store", text))
    if facts.retries or facts.refused:
        text = f"{count(facts.retries)} records were sent again, {count(facts.refused)} were refused by the server"
        rows.append(("tries", text))
    if facts.seconds_per_question is not None:
        rows.append(("time", f"{plain(1000 * facts.seconds_per_question)} ms of a request for each question"))
    rows.append(("asked again", _again(facts)))
    policy = "none is given: shadow models answer as they are"
    if facts.policy is not None:
        policy = (
            f"shadow models answer through {', '.join(facts.policy) or 'no output defence'}, as the server says it does"
        )
    return [*rows, ("policy", policy)]


def _answers(facts: EndpointFacts) -> str:
    looks = "" if facts.coarseness is None else f", {facts.coarseness}"
    figures = facts.records - facts.labels
    if facts.answers == "labels" and figures:
        return f"labels ({count(figures)} of {count(facts.records)} came as figures{looks})"
    return f"{facts.answers}{looks}"


def _questions(facts: EndpointFacts) -> str:
    most = "" if facts.max_queries is None else f" of {count(facts.max_queries)} at most"
    lost = facts.questions - facts.answered
    without = f", {count(lost)} without an answer" if lost > 0 else ""
    return f"{count(facts.questions)} questions{most}{without}, about {count(facts.records)} different records"


def _again(facts: EndpointFacts) -> str:
    if not facts.asked_again:
        return "no record: nothing tells whether its answers change"
    by = "" if not facts.largest_change else f", by up to {plain(facts.largest_change)}"
    later = "not looked at" if facts.changed_meanwhile is None else f"{count(facts.changed_meanwhile)} changed"
    soon = count(facts.changed_at_once or 0)
    return f"{count(facts.asked_again)} records: {soon} changed at once, at the end {later}{by}"
