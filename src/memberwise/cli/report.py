"""``memberwise report``: a finished run again, or two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memberwise.cli.guard import guarded


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    other: Annotated[Path | None, typer.Argument(help="Another one to compare with.", show_default=False)] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Print a finished run and write its report again, or compare two runs."""
    with guarded(debug):
        from rich.console import Console

        from memberwise.report.compare import compare
        from memberwise.report.result import Result
        from memberwise.report.terminal import print_result

        result, console = Result.load(folder), Console()
        if other is not None:
            console.print(compare(result.parts, Result.load(other).parts))
            return
        result.to_html(folder / "report.html")
        print_result(result.parts, console)
        console.print(f"Report: {folder}/report.html", highlight=False, soft_wrap=True, markup=False)
