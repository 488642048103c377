"""``memberwise report``: a finished run again, or two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.outcome import show


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    other: Annotated[Path | None, typer.Argument(help="Another one to compare with.", show_default=False)] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown alone: for a job's summary, or a pull request's comment.")
    ] = False,
    names: Annotated[
        str, typer.Option("--names", help="What two runs are called, with a comma between.", show_default=True)
    ] = "A,B",
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Print a finished run and write its report again, or compare two runs."""
    with guarded(debug):
        from rich.console import Console

        from memberwise.errors import StudyError
        from memberwise.report import markdown as written
        from memberwise.report.compare import compare
        from memberwise.report.result import Result
        from memberwise.report.terminal import print_result

        result = Result.load(folder)
        called = tuple(name.strip() for name in names.split(","))
        if len(called) != 2 or not all(called) or called[0] == called[1]:
            raise StudyError("two runs have two names", expected="--names before,after", found=names)
        if other is not None:
            second = Result.load(other).parts
            if markdown:
                to_stdout(written.comparison(result.parts, second, called))
            else:
                Console().print(compare(result.parts, second, called))
            return
        if markdown:
            to_stdout(written.summary(result.parts))
            return
        result.to_html(folder / "report.html")
        show(result.parts, print_result, f"Report: {folder}/report.html")
