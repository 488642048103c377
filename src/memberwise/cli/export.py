"""``memberwise export``: a finished run for a tracker, a card or a bill of materials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from memberwise.cli.guard import guarded, to_stdout


def export(
    folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    to: Annotated[
        Literal["mlflow", "hugging-face", "cyclonedx", "onnx"],
        typer.Option("--to", help="Where to.", show_default=False),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="A file; standard output by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option("--tracking-uri", help="MLflow's server.")] = None,
    experiment: Annotated[str, typer.Option("--experiment", help="MLflow's experiment.")] = "memberwise",
    name: Annotated[str | None, typer.Option("--name", help="What the model, or MLflow's run, is called.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Of --to onnx: what made the model, file.py:name.")
    ] = None,
    undefended: Annotated[bool, typer.Option("--undefended", help="Of --to onnx: without its policy.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Log a run to MLflow, write a Hugging Face card or a CycloneDX 1.7 fragment, or its released network as ONNX.

    Nothing of single records leaves the run.
    """
    with guarded(debug):
        from memberwise.errors import StudyError
        from memberwise.report.result import Result
        from memberwise.store.files import to_json, write_text

        if to == "onnx":
            _onnx(folder, out, model, undefended)
            return
        if model is not None or undefended:
            raise StudyError("--model and --undefended go with --to onnx", found=f"--to {to}", where="--to")
        result = Result.load(folder)
        if to == "mlflow":
            from memberwise.publishing.mlflow import log_result

            if out is not None:
                raise StudyError("MLflow keeps the run itself", found=f"--out {out}", fix="leave --out out")
            run = log_result(result, tracking_uri=tracking_uri, experiment=experiment, run_name=name)
            typer.echo(f"MLflow run: {run}")
            return
        if to == "cyclonedx":
            from memberwise.publishing.cyclonedx import bill_of_materials

            text = to_json(bill_of_materials(result.parts, name))
        else:
            from memberwise.publishing.hugging_face import card_section

            text = card_section(result.parts, name)
        if out is None:
            to_stdout(text)
        else:
            write_text(out, text)


def _onnx(folder: Path, out: Path | None, model: str | None, undefended: bool) -> None:
    from memberwise.defences.released import load_target
    from memberwise.errors import StudyError
    from memberwise.publishing.onnx import export_onnx

    if out is None:
        raise StudyError("an ONNX model is no text", expected="--out FILE.onnx", where="--out")
    released = load_target(folder, model=model, policy=not undefended)
    export_onnx(released, out)
    typer.echo(f"{out}: {len(released.classes)} classes, answers {released.kind}, checked against {folder}", err=True)
