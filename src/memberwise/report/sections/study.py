"""How to repeat the audit: data, models and the study as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping

import tomli_w

from memberwise.report import formats
from memberwise.report.schema import DataFacts
from memberwise.report.sections.base import Section, Source
from memberwise.types.parts import to_plain


class StudyText(Section):
    """Data, models and the study."""

    id, link = "study", "Study"

    def context(self, source: Source) -> Mapping[str, object]:
        return {"study": study_text(source.result.study), "facts": facts(source.result.data)}


def facts(data: DataFacts) -> list[tuple[str, str]]:
    """What is known of the data, name and value, in the order of the result."""
    known = to_plain(data) | {"class_names": ", ".join(data.class_names) or None}
    return [(name.replace("_", " "), formats.count(value)) for name, value in known.items() if value is not None]


def study_text(study: Mapping[str, object]) -> str:
    """The study as TOML; keys without a value, and empty tables, are left out."""

    def table(values: Mapping[str, object]) -> dict[str, object]:
        inside = {str(key): written(inner) for key, inner in values.items() if inner is not None}
        return {key: inner for key, inner in inside.items() if inner != {}}

    def written(value: object) -> object:
        if isinstance(value, Mapping):
            return table(value)
        if isinstance(value, (list, tuple)):
            return [written(inner) for inner in value if inner is not None]
        return value if isinstance(value, (bool, int, float, str)) else str(value)

    # Short arrays on one line: the writer gives every item a line of its own.
    return re.sub(r"= \[\n((?: {4}[^\n]*,\n)+)\]", _one_line, tomli_w.dumps(table(study)))


def _one_line(array: re.Match[str]) -> str:
    joined = "= [" + " ".join(line.strip() for line in array[1].splitlines()).removesuffix(",") + "]"
    return joined if len(joined) < 90 else array[0]
