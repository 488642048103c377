"""The report: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import tomli_w
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from memberwise.assess.records import GroupFigures, WorstRecord
from memberwise.parts import to_plain
from memberwise.report import encoding, figures, formats, lead, sentence
from memberwise.report.schema import AuditResult, DataFacts
from memberwise.report.sections import beyond, turn_figures

Curves = Mapping[str, NDArray[Any]]


def render(result: AuditResult, scores: pd.DataFrame, curves: Curves) -> str:
    """The whole report as text; the same input gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("memberwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        {name: getattr(formats, name) for name in ("shown", "percent", "rate", "count", "plain", "seconds", "points")},
        sentence=sentence,
        opening=lead,
        further=beyond,
        records=encoding,
    )
    headline = result.headline
    names = [attack.name for attack in result.attacks]
    return environment.get_template("report.html.j2").render(
        result=result,
        title=title(result),
        rates=rates(result),
        legend=legend(result),
        roc=_markup(figures.roc(curves, headline, names, result.data.nonmembers or 0)),
        **_histogram(scores, headline),
        canaries_plot=_markup(turn_figures.canaries(curves)),
        targets_plot=_markup(turn_figures.targets(result.targets)),
        worst=worst_records(result, curves),
        tables=breakdowns(result),
        study=study_text(result.study),
        facts=facts(result.data),
        personal=personal(result, curves),
    )


def personal(result: AuditResult, curves: Curves) -> list[str]:
    """What the page holds about single records, in words; empty where it holds nothing."""
    worst = result.records.worst
    pictures = " and thumbnails" if worst and "worst.image" in curves else ""
    listed = len(result.canaries.per_canary.most_exposed) if result.canaries else 0
    always = len(result.targets.stability.always_exposed) if result.targets else 0
    return [
        *([f"row numbers, labels, membership, scores{pictures} of {len(worst)} records"] if worst else []),
        *([f"the row numbers of the canaries found most often ({listed})"] if listed else []),
        *([f"the row numbers of records that every model exposes ({always})"] if always else []),
    ]


def title(result: AuditResult) -> str:
    """What was audited, in a few words."""
    parts = [result.data.source, result.target.architecture or result.target.kind]
    named = ", ".join(str(part) for part in parts if part) or "a classifier"
    canaries = lead.canaries_of(result)
    return f"{named}: the worst case, {formats.count(canaries)} canaries" if canaries else named


def rates(result: AuditResult) -> list[float]:
    """Every false-positive rate some attack states, largest first."""
    return sorted({row.fpr for attack in result.attacks for row in attack.tpr_at_fpr}, reverse=True)


def legend(result: AuditResult) -> list[tuple[str, str]]:
    """The marks that stand in the tables, each with its meaning."""
    meanings = {
        "weak": "fewer than ten wrong accusations are expected at this rate, so the figure is rough",
        "no": "there are too few non-members for any valid interval",
        "optimistic": "the threshold was chosen on the very records it is judged by",
    }
    rows = [row.tpr for table in breakdowns(result) for row in table.rows if row.tpr is not None]
    rows += [row for attack in result.attacks for row in attack.tpr_at_fpr]
    rows += result.canaries.tpr_at_fpr if result.canaries else ()
    used = {str(row.resolvable) for row in rows}
    used |= {"optimistic" for attack in result.attacks if "optimistic" in sentence.threshold_words(attack)}
    return [("too few" if mark == "no" else mark, text) for mark, text in meanings.items() if mark in used]


def facts(data: DataFacts) -> list[tuple[str, str]]:
    """What is known of the data, name and value, in the order of the result."""
    known = to_plain(data) | {"class_names": ", ".join(data.class_names) or None}
    return [(name.replace("_", " "), formats.count(value)) for name, value in known.items() if value is not None]


def study_text(study: Mapping[str, Any]) -> str:
    """The study as TOML; keys without a value, and empty tables, are left out."""

    def written(value: Any) -> Any:
        if isinstance(value, Mapping):
            inside = {str(key): written(inner) for key, inner in value.items() if inner is not None}
            return {key: inner for key, inner in inside.items() if inner != {}}
        if isinstance(value, (list, tuple)):
            return [written(inner) for inner in value if inner is not None]
        return value if isinstance(value, (bool, int, float, str)) else str(value)

    # Short arrays on one line: the writer gives every item a line of its own.
    return re.sub(r"= \[\n((?: {4}[^\n]*,\n)+)\]", _one_line, tomli_w.dumps(written(study)))


def _one_line(array: re.Match[str]) -> str:
    joined = "= [" + " ".join(line.strip() for line in array[1].splitlines()).removesuffix(",") + "]"
    return joined if len(joined) < 90 else array[0]


@dataclass(frozen=True)
class Breakdown:
    """The headline attack by class or by group; ``fpr`` is the rate of its TPR, None without one."""

    word: str
    rows: tuple[GroupFigures, ...]
    fpr: float | None


@dataclass(frozen=True)
class Card:
    """One of the most exposed records with what is drawn of it."""

    record: WorstRecord
    name: str
    image: str | None
    plot: Markup | None


def breakdowns(result: AuditResult) -> list[Breakdown]:
    """The tables by class and by group, without those that are empty."""
    tables = []
    for word, rows in (("class", result.records.per_class), ("group", result.records.per_group)):
        tpr = next((row.tpr for row in rows if row.tpr is not None), None)
        if rows:
            tables.append(Breakdown(word, rows, None if tpr is None else tpr.fpr))
    return tables


def worst_records(result: AuditResult, curves: Curves) -> list[Card]:
    """The most exposed records, each with its thumbnail and its IN/OUT plot where there are any."""
    places = {int(index): place for place, index in enumerate(curves.get("worst.index", ()))}
    cards = []
    for number, record in enumerate(result.records.worst):
        place, name = places.get(record.index), f"Record {record.index}, labelled {record.label}"
        image, plot = None, None
        if place is not None and "worst.image" in curves:
            image = png(curves["worst.image"][place])
        if place is not None and "worst.phi" in curves:
            phi, trained = curves["worst.phi"][place], curves["worst.trained_on"][place]
            target = float(curves["worst.phi_target"][place])
            plot = _markup(figures.in_out(f"record{number}", phi[trained == 1], phi[trained == 0], target, name))
        cards.append(Card(record, name, image, plot))
    return cards


def png(image: NDArray[np.uint8]) -> str:
    """A grey ``(H, W)`` or RGB ``(H, W, 3)`` image as a data address."""
    from matplotlib.image import imsave

    colour = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    buffer, nothing = io.BytesIO(), {"Software": cast(str, None)}  # None leaves the entry out
    imsave(buffer, np.ascontiguousarray(colour), format="png", metadata=nothing)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _histogram(scores: pd.DataFrame, headline: str) -> dict[str, Any]:
    """The score histogram of the headline attack, and how many scores its end bars gather."""
    if headline not in scores:
        return {"histogram": None, "beyond": 0}
    kept = scores[scores["evaluated"] == 1]
    values, member = kept[headline].to_numpy(np.float64), kept["member"].to_numpy() == 1
    drawn = figures.histogram(values[member], values[~member], headline)
    return {"histogram": _markup(drawn), "beyond": figures.beyond(values)}


def _markup(svg: str | None) -> Markup | None:
    """Our own SVG, in which every text is escaped already."""
    return None if svg is None else Markup(svg)  # noqa: S704
