"""The ``memberwise`` command: one verb a file; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import gc
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
    context_settings={"help_option_names": ["-h", "--help"]},
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


app.command("audit", short_help="Audit a model: figures, a report, a verdict.")(audit.audit)
app.command("defend", short_help="Compare defences and recommend one.")(defend.defend)
app.command("screen", short_help="Rank training records by risk, without shadow models.")(screen.screen)
app.command("reproduce", short_help="Repeat a published table.")(reproduce.reproduce)
app.command("report", short_help="Print a finished run, or compare two.")(report.report)
app.command("inspect", short_help="Look for records kept in a scikit-learn model.")(inspect.inspect)
app.command("export", short_help="To MLflow, a model card, CycloneDX or ONNX.")(export.export)
app.command("serve", short_help="Serve a model behind budgets and output defences.")(serve.serve)
app.command("list", short_help="List attacks, defences, data or models.")(listing.listing)
app.command("init", short_help="Write a commented study to start from.")(init.init)
app.add_typer(data.app, name="data", short_help="Fetch and check data sets.")
app.add_typer(evidence.app, name="evidence", short_help="Make or verify evidence of an audit.")
app.add_typer(keys.app, name="keys", short_help="Keys of clients of a served model.")
app.add_typer(policy.app, name="policy", short_help="Explain, sign, verify a policy.")


def wait_asleep() -> None:
    """Where others keep the processors busy, training's threads wait for each other asleep.

    Spinning, as they do otherwise, takes the time that the thread they wait for needs: some fifty times slower.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    """The entry point."""
    # What imports make stays: to look through it all for circles again and again is a seventh of their time.
    gc.set_threshold(50_000)
    wait_asleep()
    app()


if __name__ == "__main__":
    main()
