"""In words: what was done to the records between the user's data and the models. Empty where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memberwise.data.treatment import OneHot, Treatment
from memberwise.report.formats import count
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source

# So many names are listed; more are counted.
LISTED = 12
HEADING = "What was done to the records"
INTRO = "The models were trained on the records as they are described here, not on the user's file as it is."


class Encoding(Section):
    """What was done to the records."""

    id, link, template = "encoding", "Encoding", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        pairs = lines(source.result)
        return {"heading": HEADING, "intro": INTRO, "pairs": pairs} if pairs else None


def lines(result: AuditResult) -> list[tuple[str, str]]:
    """What was done, and to what."""
    part = result.encoding
    if part is None:
        return []
    done = [(f"{count(part.records)} records", _taken(part))]
    done += [("all of them", step) for step in part.steps]
    for word, names in (("brought to mean 0 and standard deviation 1", part.standardised), ("0 or 1", part.flags)):
        if names:
            done.append((word, _names(names)))
    if part.one_hot:
        done.append(("one 0/1 column a category", _names([_category(column) for column in part.one_hot])))
    done += [("left out", f"{column.column} ({column.reason})") for column in part.dropped]
    return done


def _taken(part: Treatment) -> str:
    kinds = {"images": "images", "arrays": "arrays of numbers", "table": "rows of a table"}
    fitted = part.fitted_on
    text = f"{kinds.get(part.kind, part.kind)}, {count(part.features)} numbers each as models get them"
    return text + (f"; means, deviations and categories are those of {count(fitted)} rows" if fitted else "")


def _category(column: OneHot) -> str:
    """A column with its levels, and how many records have none of them."""
    notes = [f"{count(column.levels)} levels"]
    notes += [f"{count(column.missing)} missing"] if column.missing else []
    notes += [f"{count(column.unseen)} of an unseen level"] if column.unseen else []
    return f"{column.column} ({', '.join(notes)})"


def _names(names: Sequence[str]) -> str:
    more = f" and {count(len(names) - LISTED)} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
