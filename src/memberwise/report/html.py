"""The report: one HTML file that needs nothing else: no network, and no script either, which only makes it handier."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd
from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from memberwise.report import formats, lead, sentence
from memberwise.report.noted import Notes
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Curves, Section, Source
from memberwise.report.sections.registry import SECTIONS

WORDS = ("shown", "percent", "rate", "count", "plain", "in_one_form", "seconds", "points")
MARKS = {"yes": "", "weak": "weak", "no": "too few"}
# So many figures stand at the top of the page.
KEY_FIGURES = 4


class Compiled(BytecodeCache):
    """Templates as compiled by this process: each page has an environment of its own, and compiles none again."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.code:
            bucket.bytecode_from_string(self.code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.code[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@dataclass(frozen=True)
class Drawn:
    """A section of this page."""

    id: str
    link: str
    html: Markup


def render(result: AuditResult, scores: pd.DataFrame, curves: Curves) -> str:
    """The whole report as text; the same input gives the same bytes."""
    environment = page_environment("memberwise.report")
    environment.globals.update(marks=MARKS, sentence=sentence, opening=lead)
    source = Source(result, scores, curves)
    figures = sentence.key_figures(result)[:KEY_FIGURES]
    noted = environment.globals["notes"]
    assert isinstance(noted, Notes)
    for key in figures:
        noted.mark(key.figure.basis)  # the first notes are those of the first figures
    drawn = [one for section in SECTIONS if (one := _drawn(section, source, environment)) is not None]
    return environment.get_template("report.html.j2").render(
        result=result, title=title(result), personal=personal(result, curves), sections=drawn, key_figures=figures
    )


def page_environment(*packages: str) -> Environment:
    """Templates of a page in the frame ``frame.html.j2``: words for figures, notes at them, and the one script."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=COMPILED,
    )
    script = files("memberwise.report").joinpath("templates", "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    words = {name: getattr(formats, name) for name in WORDS}
    environment.globals.update(words, notes=Notes(), script=Markup(script), script_hash=f"sha256-{digest}")  # noqa: S704
    return environment


def _drawn(section: Section, source: Source, environment: Environment) -> Drawn | None:
    """A section by its template; None where this page has no such section."""
    context = section.context(source)
    if context is None:
        return None
    template = environment.get_template(f"sections/{section.template or section.id}.html.j2")
    interval = sentence.interval_words(source.result)
    html = template.render(id=section.id, result=source.result, interval=interval, **context)
    return Drawn(section.id, section.link, Markup(html))  # noqa: S704 (escaped by its template)


def personal(result: AuditResult, curves: Curves) -> list[str]:
    """What the page holds about single records, in words; empty where it holds nothing."""
    worst = result.records.worst
    pictures = " and thumbnails" if worst and "worst.image" in curves else ""
    listed = len(result.canaries.per_canary.most_exposed) if result.canaries else 0
    people = len(result.people.worst) if result.people else 0
    return [
        *([f"row numbers, labels, membership, scores{pictures} of {len(worst)} records"] if worst else []),
        *([f"the row numbers of the canaries found most often ({listed})"] if listed else []),
        *([f"row numbers, labels, membership and personal risks of {people} records"] if people else []),
    ]


def title(result: AuditResult) -> str:
    """What was audited, in a few words."""
    parts = [result.data.source, result.target.architecture or result.target.kind]
    named = ", ".join(formats.without_folder(part) for part in parts if part) or "a classifier"
    canaries = lead.canaries_of(result)
    return f"{named}: the worst case, {formats.count(canaries)} canaries" if canaries else named
