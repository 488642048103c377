"""``memberwise screen``: flags become a study, its target is trained once, the ranking is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from memberwise.cli import options
from memberwise.cli.audit import study_of
from memberwise.cli.guard import guarded, stdout_to_stderr, to_stdout
from memberwise.cli.options import Text, option

if TYPE_CHECKING:
    from memberwise.study.schema import Study


def screen(
    study: options.StudyFile = None,
    data: options.Data = None,
    label: options.Label = None,
    group: options.Group = None,
    unit: options.Unit = None,
    features: options.Features = None,
    drop: options.Drop = None,
    members: options.Members = None,
    nonmembers: options.Nonmembers = None,
    background: options.Background = None,
    population: options.Population = None,
    reference: options.Reference = None,
    validation: Annotated[Text, option("--validation", help="For choosing parameters.", panel="Data")] = None,
    model: options.ModelName = None,
    target: Annotated[Text, option("--target", help="A trained target: its last losses rank.", panel="Model")] = None,
    train_rows: Annotated[Text, option("--train-rows", help="All rows the target saw.", panel="Model")] = None,
    outputs: Annotated[Text, option("--outputs", help="Saved answers; no model needed.", panel="Model")] = None,
    settings: options.Settings = None,
    device: options.Device = None,
    seed: options.Seed = None,
    out: Annotated[Text, option("--out", help="Run folder, the audit's.", panel="Run")] = None,
    resume: Annotated[bool, option("--resume", help="Continue the run in --out.", panel="Run")] = False,
    dry_run: Annotated[bool, option("--dry-run", help="Say what it would cost, do nothing.", panel="Run")] = False,
    json: Annotated[bool, option("--json", help="Print screen.json alone.", panel="Run")] = False,
    redact: options.Redact = False,
    redact_scores: options.RedactScores = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Rank the training records by how much they are probably at risk: one training, no shadow models.

    Says how far the ranking can be trusted and whether a full audit is worth it, which goes on in the same folder.
    Without a study and flags: the demonstration on digits, in runs/demo.
    """
    arguments = locals()
    with guarded(debug, resume_hint="the same command begins again"):
        request = study_of(study, options.flags(arguments), settings or [], resume)
        if dry_run:
            _dry_run(request, json)
            return
        _run(request, resume, json)


def _run(study: Study, resume: bool, json: bool) -> None:
    from rich.console import Console

    from memberwise.screening.flow import run_screen
    from memberwise.screening.terminal import print_screen

    with stdout_to_stderr(json):
        result = run_screen(study, resume=resume)
    if json:
        to_stdout(result.to_json())
        return
    console = Console()
    print_screen(result.parts, console)
    console.print(f"All records: {result.folder}/screen.csv", highlight=False, soft_wrap=True, markup=False)


def _dry_run(study: Study, json: bool) -> None:
    import json as json_module

    from memberwise.screening.flow import expected_seconds
    from memberwise.study.duration import duration

    with stdout_to_stderr(json):
        rows, seconds = expected_seconds(study)
    if json:
        to_stdout(json_module.dumps({"models": 1, "rows": rows, "seconds": round(seconds, 1)}, indent=2) + "\n")
        return
    to_stdout(f"would train one model on {rows:,} records and no shadow model: about {duration(seconds)}\n")
