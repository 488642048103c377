"""Flags that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from memberwise.study.flags import FlagKind, study_keys

Text = str | None
Texts = list[str] | None


def option(*names: str, help: str, panel: str) -> object:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


ROLE = "a number, a file of row numbers (.txt, .npy) or a file of records (.npz, .csv, .parquet)"

StudyFile = Annotated[Text, typer.Argument(help="A study file (TOML); see memberwise init.", show_default=False)]
Data = Annotated[Text, option("--data", help="Name, file or module:function.", panel="Data")]
Label = Annotated[Text, option("--label", help="Column of the class.", panel="Data")]
Group = Annotated[Texts, option("--group", help="Column of subgroups; several by comma, or again.", panel="Data")]
Unit = Annotated[Text, option("--unit", help="Column of whose record it is: kept on one side.", panel="Data")]
Features = Annotated[
    Texts, option("--features", help="Columns that alone are features, by comma or again.", panel="Data")
]
Drop = Annotated[Texts, option("--drop", help="Columns that are no features, by comma or again.", panel="Data")]
Members = Annotated[Text, option("--members", help=f"Members: {ROLE}.", panel="Data")]
Nonmembers = Annotated[Text, option("--nonmembers", help="Non-members, likewise.", panel="Data")]
Background = Annotated[Text, option("--background", help="Trained on by all, not audited.", panel="Data")]
Population = Annotated[Text, option("--population", help="Nobody's: the attacker's sample.", panel="Data")]
Reference = Annotated[Text, option("--reference", help="The defender's extra data.", panel="Data")]
Validation = Annotated[Text, option("--validation", help="For choosing parameters.", panel="Data")]
ModelName = Annotated[Text, option("--model", help="Name, file.py:function or module:Class.", panel="Model")]
Trust = Annotated[Texts, option("--trust", help="Types of a .skops file to load, by comma or again.", panel="Model")]
TrainRows = Annotated[Text, option("--train-rows", help="All rows the target saw.", panel="Model")]
Engine = Annotated[Text, option("--engine", help="Where shadow models train: local, ray or slurm.", panel="Run")]
RayAddress = Annotated[
    Text, option("--ray-address", help="auto or ray://HOST:PORT; none: a Ray of this machine.", panel="Run")
]
Cascade = Annotated[
    int | None,
    option(
        "--cascade",
        help="So many more, in rounds that close in on the target; unsaid: 8 where --fail-if names no attack, else 0.",
        panel="Attack",
    ),
]
CascadeAtPoints = Annotated[
    int | None,
    option("--cascade", help="So many more at every point, in rounds that close in on it.", panel="Attack"),
]
Attacks = Annotated[Texts, option("--attacks", help="Names by comma, default or all; file.py:ATTACK.", panel="Attack")]
Temperature = Annotated[
    Text, option("--temperature", help="Of p_y in base, informia, rmia-*: 2, a number, tuned.", panel="Attack")
]
Fpr = Annotated[Texts, option("--fpr", help="auto, or false-positive rates by comma or again.", panel="Attack")]
Settings = Annotated[
    list[str] | None, option("--set", help="Any study key: training.epochs=20; repeatable.", panel="Run")
]
Device = Annotated[Text, option("--device", help="auto, cpu or cuda.", panel="Run")]
Seed = Annotated[int | None, option("--seed", help="Root of all random numbers.", panel="Run")]
Resume = Annotated[bool, option("--resume", help="Continue the run in --out.", panel="Run")]
DryRun = Annotated[bool, option("--dry-run", help="Say what it would cost, do nothing.", panel="Run")]
Redact = Annotated[bool, option("--redact", help="Leave single records out of all files but scores.csv.", panel="Run")]
RedactScores = Annotated[
    bool, option("--redact-scores", help="Likewise, and row numbers and labels out of scores.csv.", panel="Run")
]
Quiet = Annotated[bool, option("--quiet", help="No progress.", panel="Run")]
Debug = Annotated[bool, option("--debug", help="Tracebacks.", panel="Run")]


def flags(arguments: Mapping[str, object]) -> dict[str, object]:
    """The study keys that a verb's flags set, from all its arguments."""
    read: dict[FlagKind, Callable[[Any], object]]
    read = {"names": names, "joined": ",".join, "count": _count, "switch": lambda on: on or None, "rates": _rates}
    return study_keys(arguments, read)


def names(texts: Sequence[str]) -> list[str]:
    """What stands between commas, of an option given once or again."""
    return [name.strip() for name in ",".join(texts).split(",") if name.strip()]


def _count(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text


def _rates(texts: Sequence[str]) -> str | list[float]:
    from memberwise.errors import StudyError

    text = ",".join(texts)
    try:
        return text if text == "auto" else [float(rate) for rate in text.split(",")]
    except ValueError:
        raise StudyError("--fpr is not understood", expected="auto, or numbers by comma", found=text) from None
