"""The most exposed records."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from memberwise.assess.records import WorstRecord
from memberwise.report.formats import in_one_form
from memberwise.report.in_out import in_out, in_out_words
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Curves, Section, Source, markup


class Records(Section):
    """Cards with plots, or a table where there are no plots."""

    id, link = "records", "Exposed records"

    def context(self, source: Source) -> Mapping[str, object]:
        return {"worst": worst_records(source.result, source.curves)}


@dataclass(frozen=True)
class Card:
    """One of the most exposed records with what is drawn of it."""

    record: WorstRecord
    name: str
    score: str
    image: str | None
    plot: Markup | None
    said: str


def worst_records(result: AuditResult, curves: Curves) -> list[Card]:
    """The most exposed records, each with its thumbnail and its IN/OUT plot where there are any."""
    places = {int(index): place for place, index in enumerate(curves.get("worst.index", ()))}
    cards = []
    scores = in_one_form([record.score for record in result.records.worst])
    for record, score in zip(result.records.worst, scores, strict=True):
        place, name = places.get(record.index), f"Record {record.index}, labelled {record.label}"
        image, plot, said = None, None, ""
        if place is not None and "worst.image" in curves:
            image = png(curves["worst.image"][place])
        if place is not None and "worst.phi" in curves:
            phi, trained = curves["worst.phi"][place], curves["worst.trained_on"][place]
            target = float(curves["worst.phi_target"][place])
            inside, outside = phi[trained == 1], phi[trained == 0]
            plot, said = markup(in_out(inside, outside, target, name)), in_out_words(inside, outside, target)
        cards.append(Card(record, name, score, image, plot, said))
    return cards


def png(image: NDArray[np.uint8]) -> str:
    """A grey ``(H, W)`` or RGB ``(H, W, 3)`` image as a data address."""
    from matplotlib.image import imsave

    colour = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    buffer, nothing = io.BytesIO(), {"Software": cast(str, None)}  # None leaves the entry out
    imsave(buffer, np.ascontiguousarray(colour), format="png", metadata=nothing)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
