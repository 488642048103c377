"""Where the settings of each claim come from: a data file beside the published figures."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from memberwise.reproduce.claim import Setting
from memberwise.reproduce.reproduction import Size
from memberwise.types.parts import Plain

FILE = "provenance.toml"


def settings_of(name: str, size: Size) -> tuple[Setting, ...]:
    """The settings of a reproduction at a size, in the order of the data file."""
    return tuple(
        Setting(entry["name"], entry["value"], entry["origin"], entry.get("why", ""), tuple(entry.get("rows", ())))
        for entry in _all()
        if name in entry["claims"] and size in entry.get("sizes", (size,))
    )


@cache
def _all() -> tuple[Plain, ...]:
    text = files("memberwise.reproduce").joinpath(FILE).read_text("utf-8")
    return tuple(tomllib.loads(text)["setting"])
