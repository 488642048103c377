"""``memberwise audit``: flags become a study, the study is carried out, the result is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memberwise.cli import options
from memberwise.cli.guard import guarded, stdout_to_stderr, to_stdout
from memberwise.cli.options import Text, option
from memberwise.cli.outcome import print_json, show
from memberwise.types.parts import Plain

if TYPE_CHECKING:
    from memberwise.study.schema import Study

DEMO: dict[str, object] = {
    "data": {"source": "digits", "members": 600, "nonmembers": 600, "population": 500},
    "model": {"name": "mlp", "hidden": [128, 128]},
    "training": {"epochs": 30},
    "shadow": {"count": 64},
}
DEMO_FOLDER = "runs/demo"


def audit(
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
    auxiliary: Annotated[Text, option("--auxiliary", help="For shadow models only.", panel="Data")] = None,
    coins: Annotated[
        bool, option("--coins", help="Each membership in the target is a fair coin: bounds epsilon.", panel="Data")
    ] = False,
    canaries: Annotated[
        int | None, option("--canaries", help="Audit so many canaries: the worst case; even.", panel="Attack")
    ] = None,
    canary_kind: Annotated[
        Text, option("--canary-kind", help="mislabelled, out-of-distribution, near-duplicate.", panel="Attack")
    ] = None,
    targets: Annotated[
        int | None, option("--targets", help="So many models in the target's place in turn.", panel="Attack")
    ] = None,
    turns: Annotated[
        Text, option("--turns", help="Shadow models in the target's place: all, none or K.", panel="Attack")
    ] = None,
    model: options.ModelName = None,
    target: Annotated[
        Text,
        option("--target", help="A trained target (.safetensors, .onnx, .skops, .pt, .json, .cbm).", panel="Model"),
    ] = None,
    endpoint: Annotated[
        Text, option("--endpoint", help="A served model: URL (or file.py:ask, custom).", panel="Model")
    ] = None,
    protocol: Annotated[Text, option("--protocol", help="v2 (default), v1, mlflow or custom.", panel="Model")] = None,
    max_queries: Annotated[
        int | None, option("--max-queries", help="Ask the endpoint about so many records at most.", panel="Model")
    ] = None,
    policy: Annotated[
        Text, option("--policy", help="The endpoint's policy.toml: shadow models answer by it.", panel="Model")
    ] = None,
    trust: options.Trust = None,
    train_rows: options.TrainRows = None,
    outputs: Annotated[
        Text, option("--outputs", help="Saved answers, no model needed: FILE, or MEMBERS,OTHERS.", panel="Model")
    ] = None,
    shadow_outputs: Annotated[Text, option("--shadow-outputs", help="Shadow models' answers.", panel="Model")] = None,
    shadow_models: Annotated[
        int | None, option("--shadow-models", help="How many; an even number.", panel="Attack")
    ] = None,
    budget: Annotated[
        Text, option("--budget", help="As many shadow models as fit: 90s, 5m, 1h30m.", panel="Attack")
    ] = None,
    cascade: options.Cascade = None,
    attacks: options.Attacks = None,
    temperature: options.Temperature = None,
    fpr: options.Fpr = None,
    fail_if: Annotated[
        list[str] | None, option("--fail-if", help='Gate, such as "tpr@0.01>0.05"; repeatable.', panel="Attack")
    ] = None,
    settings: options.Settings = None,
    allow_size_mismatch: Annotated[
        bool, option("--allow-size-mismatch", help="Shadow models may train on fewer records.", panel="Run")
    ] = False,
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
    device: options.Device = None,
    seed: options.Seed = None,
    out: Annotated[Text, option("--out", help="Run folder.", panel="Run")] = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    json: Annotated[bool, option("--json", help="Print result.json alone.", panel="Run")] = False,
    redact: options.Redact = False,
    redact_scores: options.RedactScores = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Audit a model: train it and shadow models (or read saved answers), run the attacks, write the run folder.

    Without a study and flags: the demonstration on scikit-learn's digits, in runs/demo.
    """
    arguments = locals()
    with guarded(debug, resume_hint="the same command continues where it stopped"):
        flags = options.flags(arguments)
        request = study_of(study, flags, settings or [], resume)
        if dry_run:
            _dry_run(request, json)
            return
        _run(request, resume, json, quiet, debug)


def study_of(
    file: str | None,
    flags: Plain,
    settings: list[str],
    resume: bool = False,
    demo: Plain = DEMO,
) -> Study:
    """The study that file and flags describe; flags come last. Without either of data: the demonstration.

    Args:
        flags: study keys and their values (``options.flags``).
    """
    import copy
    from pathlib import Path

    from memberwise.errors import RunFolderError, StudyError
    from memberwise.study.address import shown_address
    from memberwise.study.flags import FLAGS
    from memberwise.study.reading import apply_settings, check_ray_address, choose_count, make_study, put, read_study

    values: Plain = {}
    out = flags.get("run.out")
    models_own, of_answers = ("data.", "model.", "target.", "shadow.", "canaries."), ("data.coins", "data.label")
    clashes = [key for key in flags if key.startswith(models_own) and flags[key] and key not in of_answers]
    if flags.get("outputs.file") is not None and clashes:
        raise StudyError(
            "saved answers are audited without data, model or target",
            found=", ".join(f"{key} = {shown_address(str(flags[key]))}" for key in clashes),
            fix="leave those flags out; roles and shadow models are in the files",
        )
    if out is not None and not out.strip():
        raise StudyError("--out is empty", expected="a folder")
    mine = file is not None and out is not None and (Path(out) / "study.toml").resolve() == Path(file).resolve()
    if mine and not (Path(str(out)) / "target").exists() and not (Path(str(out)) / "result.json").exists():
        raise StudyError(f"the run would write over {file}", where="--out", fix="another --out")
    if file is not None:
        values = read_study(file)
    elif (
        resume
        and out is not None
        and not flags.keys() & {"data.source", "outputs.file", "target.file", "target.endpoint"}
    ):
        if not (Path(out) / "study.toml").exists():
            raise RunFolderError(
                f"{out} holds no run to resume",
                expected="the study.toml of a run that was begun",
                found="no such folder" if not Path(out).exists() else "a folder without study.toml",
                fix="give the command by which it was begun, without --resume: nothing was trained yet",
            )
        values = read_study(Path(out) / "study.toml")
    elif not flags.keys() & {"data.source", "outputs.file", "target.file", "target.endpoint"}:
        values = copy.deepcopy(demo)
    choose_count(values, flags.get("shadow.count"), flags.get("shadow.budget"))
    for key, value in flags.items():
        put(values, key, value)
    lists = {flag.key for flag in FLAGS.values() if flag.kind in ("names", "joined", "rates")}
    both = sorted(lists & flags.keys() & {setting.partition("=")[0].strip() for setting in settings})
    if both:  # the one would leave out what the other says
        raise StudyError(f"a flag and --set both give {both[0]}", fix="one of the two, with all that it is to say")
    made = make_study(apply_settings(values, settings), file or "flags")
    check_ray_address(flags.get("engine.ray.address"), made)
    if made.run.out is None and made.training_key() == make_study(DEMO, "demonstration").training_key():
        made = made.model_copy(update={"run": made.run.model_copy(update={"out": DEMO_FOLDER})})
    return made


def _run(study: Study, resume: bool, json: bool, quiet: bool, debug: bool) -> None:
    from memberwise.auditing.notes import INTERRUPTED
    from memberwise.auditing.run import run_audit
    from memberwise.cli.progress import Bar
    from memberwise.report.terminal import print_result
    from memberwise.signals.progress import Silent
    from memberwise.types.stages import Stages, process_seconds, stage_lines

    with stdout_to_stderr(json):
        progress = Silent() if quiet or json else Bar()
        result = run_audit(study, resume=resume, progress=progress, stages=Stages(process_seconds()))
    if debug and result.parts.stages is not None:
        typer.echo("\n".join(stage_lines(result.parts.stages)), err=True)
    if json:
        to_stdout(result.to_json())
    else:
        show(result.parts, print_result, f"Report: {result.folder}/report.html")
    if INTERRUPTED in {warning.code for warning in result.parts.warnings}:
        raise KeyboardInterrupt
    raise typer.Exit(result.exit_code)


def _dry_run(study: Study, json: bool) -> None:
    from memberwise.auditing.cost import estimate_cost

    with stdout_to_stderr(json):
        cost = estimate_cost(study)
    if json:
        print_json(cost.to_dict())
    else:
        to_stdout(cost.describe())
