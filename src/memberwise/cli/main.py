"""The ``memberwise`` command: one verb a file; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from memberwise.cli import (
    audit,
    data,
    defend,
    evidence,
    export,
    init,
    inspect,
    keys,
    listing,
    policy,
    report,
    reproduce,
    screen,
    serve,
)
from memberwise.types.version import __version__

app = typer.Typer(
    name="memberwise",
    help="Find out what a classifier tells about the records it was trained on, then make it tell less.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(flag: bool) -> None:
    if flag:
        typer.echo(f"memberwise {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find out what a classifier tells about the records it was trained on, then make it tell less."""


app.command("audit")(audit.audit)
app.command("defend")(defend.defend)
app.command("screen")(screen.screen)
app.command("reproduce")(reproduce.reproduce)
app.command("report")(report.report)
app.command("inspect")(inspect.inspect)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("list")(listing.listing)
app.command("init")(init.init)
app.add_typer(data.app, name="data")
app.add_typer(evidence.app, name="evidence")
app.add_typer(keys.app, name="keys")
app.add_typer(policy.app, name="policy")


def wait_asleep() -> None:
    """Where others keep the processors busy, training's threads wait for each other asleep.

    Spinning, as they do otherwise, takes the time that the thread they wait for needs: some fifty times slower.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    """The entry point."""
    wait_asleep()
    app()


if __name__ == "__main__":
    main()
