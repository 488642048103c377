"""``memberwise inspect``: what a model's file tells without an attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, to_stdout
from memberwise.cli.outcome import print_json


def inspect(
    model: Annotated[Path, typer.Argument(help="A fitted model: .skops, .json, .ubj, .txt or .cbm.")],
    records: Annotated[int | None, typer.Option("--records", min=1, help="How many it was trained on.")] = None,
    least: Annotated[int, typer.Option("--least", min=2, help="Leaves with fewer members are small.")] = 10,
    trust: options.Trust = None,
    fail_if: Annotated[str | None, typer.Option("--fail-if", help='Such as "stored-records>0": exit 1 then.')] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON alone.")] = False,
    debug: options.Debug = False,
) -> None:
    """Look into a fitted scikit-learn model: records kept in it, small leaves, settings known to memorise."""
    with guarded(debug):
        from memberwise.errors import StudyError
        from memberwise.statistics.gate import STORED, parse_rule
        from memberwise.targets.inspection import inspect as look

        rule = None if fail_if is None else parse_rule(fail_if)
        if rule is not None and rule.metric != STORED:
            raise StudyError(
                f"{rule.metric} is a figure of an audit",
                expected="stored-records>0",
                where="--fail-if",
                found=rule.text,
            )
        inspection = look(model, records=records, least=least, trust=options.names(trust or []))
        if json:
            print_json(inspection.to_dict())
        else:
            to_stdout(f"{inspection}\n")
        if rule is not None and rule.broken_by(inspection.stored_records):
            raise typer.Exit(1)
