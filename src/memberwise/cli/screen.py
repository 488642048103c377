"""``memberwise screen``: flags become a study, its target is trained once, the ranking is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from memberwise.cli import options
from memberwise.cli.audit import study_of
from memberwise.cli.guard import guarded, stdout_to_stderr, to_stdout
from memberwise.cli.options import Text, option
from memberwise.cli.outcome import print_json, show

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
    validation: options.Validation = None,
    model: options.ModelName = None,
    target: Annotated[Text, option("--target", help="A trained target: its last losses rank.", panel="Model")] = None,
    train_rows: options.TrainRows = None,
    outputs: Annotated[Text, option("--outputs", help="Saved answers; no model needed.", panel="Model")] = None,
    settings: options.Settings = None,
    device: options.Device = None,
    seed: options.Seed = None,
    out: Annotated[Text, option("--out", help="Run folder, the audit's.", panel="Run")] = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
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
    from memberwise.screening.flow import run_screen
    from memberwise.screening.terminal import print_screen

    with stdout_to_stderr(json):
        result = run_screen(study, resume=resume)
    if json:
        to_stdout(result.to_json())
    else:
        show(result.parts, print_screen, f"All records: {result.folder}/screen.csv")


def _dry_run(study: Study, json: bool) -> None:
    from memberwise.screening.flow import expected_seconds
    from memberwise.study.duration import duration

    with stdout_to_stderr(json):
        rows, seconds = expected_seconds(study)
    if json:
        print_json({"models": 1, "rows": rows, "seconds": round(seconds, 1)})
        return
    to_stdout(f"would train one model on {rows:,} records and no shadow model: about {duration(seconds)}\n")
