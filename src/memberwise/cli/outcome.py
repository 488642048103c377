"""What a verb prints once it is done: JSON alone, or a result for people and where the rest of it lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from memberwise.cli.guard import to_stdout

if TYPE_CHECKING:
    from rich.console import Console

Parts = TypeVar("Parts")


def print_json(values: object) -> None:
    """Values as indented JSON, and nothing else."""
    to_stdout(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def show(parts: Parts, print_parts: Callable[[Parts, Console], None], place: str) -> None:
    """A result on the terminal, then the file that holds more: ``Report: FOLDER/report.html``."""
    from rich.console import Console

    console = Console()
    print_parts(parts, console)
    console.print(place, highlight=False, soft_wrap=True, markup=False)
