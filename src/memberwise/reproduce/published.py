"""Published figures: data files beside this module, each with its source and what is not certain about it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

from memberwise.types.parts import Plain


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        table: the reproduction it belongs to.
        setting, measure: what it is of, in the words that our rows use.
        value: in the unit of the measure; shares are from 0 to 1.
        rounding: half a unit of its last printed digit.
        source: where it was published.
        verify: quoted from memory or at second hand, and not checked against the publication.
    """

    table: str
    setting: str
    measure: str
    value: float
    rounding: float
    source: str
    verify: bool = False


@cache
def published(table: str) -> tuple[Figure, ...]:
    """The published figures of a reproduction, in the order of the data file; none where the source prints none."""
    return tuple(figure for figure in _all() if figure.table == table)


@cache
def _all() -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for file in sorted(files("memberwise.reproduce").joinpath("figures").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            figures += _read(tomllib.loads(file.read_text("utf-8"), parse_float=Decimal))
    return tuple(figures)


def _read(content: Plain) -> list[Figure]:
    """Figures of one file: ``[[table]]`` with ``name``, ``source``, ``measures`` and rows ``[setting, figure, ...]``.

    A row's figures are in the order of ``measures``; "" is one the source does not print.
    """
    figures = []
    for table in content["table"]:
        for setting, *values in table["rows"]:
            for measure, value in zip(table["measures"], values, strict=True):
                if value == "":
                    continue
                exact = Decimal(value)
                rounding = float(Decimal(1).scaleb(int(exact.as_tuple().exponent)) / 2)
                figures.append(
                    Figure(
                        table["name"],
                        setting,
                        measure,
                        float(exact),
                        rounding,
                        table["source"],
                        table.get("verify", False),
                    )
                )
    return figures
