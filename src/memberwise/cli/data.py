"""``memberwise data``: fetch and check data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded

app = typer.Typer(help="Fetch and check data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name, file or module:function.", show_default=False)]
Label = Annotated[str | None, typer.Option("--label", help="Column of the class.", show_default=False)]
Unit = Annotated[str | None, typer.Option("--unit", help="Column of whose record it is.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks.")]


@app.command()
def get(name: Name, debug: Debug = False) -> None:
    """Bring a named data set into the cache: from $MEMBERWISE_DATA, or downloaded and checked by its hash."""
    with guarded(debug):
        from memberwise.data import load

        dataset = load(name)
        typer.echo(f"{name}: {dataset.records:,} records, {len(dataset.classes)} classes, sha256 {dataset.sha256}")


@app.command()
def check(name: Name, label: Label = None, unit: Unit = None, drop: options.Drop = None, debug: Debug = False) -> None:
    """Say what a data set holds and whether it can be audited."""
    with guarded(debug):
        import numpy as np

        from memberwise.data import check_dataset, encode, load
        from memberwise.data.chosen import choose_columns

        dataset = choose_columns(load(name, label=label, unit=unit), drop=options.names(drop or []))
        dataset = encode(dataset, np.arange(dataset.records))
        check_dataset(dataset)
        counts = np.bincount(dataset.y, minlength=len(dataset.classes))
        test = 0 if dataset.test is None else len(dataset.test)
        typer.echo(f"source    {dataset.source} (sha256 {dataset.sha256})")
        typer.echo(f"records   {dataset.records - test:,} and {test:,} of the source's own test part")
        typer.echo(f"features  {dataset.kind}, {dataset.x.dtype} of shape {dataset.shape} a record")
        typer.echo(f"classes   {len(dataset.classes)}, {counts.min():,} to {counts.max():,} records each")
        if dataset.units is not None:
            typer.echo(f"units     {len(np.unique(dataset.units)):,}: one record of each is evaluated")
        for code, message in dataset.notes:
            typer.echo(f"note      {message} ({code})")
        typer.echo("no NaN, no infinity, no class with a single record: it can be audited")
