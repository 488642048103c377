"""``memberwise defend``: flags become a study, its defences are compared, the frontier is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from memberwise.cli import options
from memberwise.cli.audit import study_of
from memberwise.cli.guard import guarded, stdout_to_stderr, to_stdout
from memberwise.cli.options import Text, option
from memberwise.cli.outcome import print_json, show

if TYPE_CHECKING:
    from memberwise.study.schema import Study

# Shadow models a point, unless the study or a flag says otherwise: enough to compare, and many points.
SHADOW_MODELS = 16
DEMO: dict[str, object] = {
    "data": {"source": "digits", "members": 500, "nonmembers": 500, "population": 300, "validation": 200},
    "training": {"epochs": 30},
}


def defend(
    study: options.StudyFile = None,
    defences: Annotated[
        options.Texts, option("--defences", help="Names by comma, default or all; file.py:name.", panel="Defences")
    ] = None,
    max_accuracy_loss: Annotated[
        float | None, option("--max-accuracy-loss", help="Accuracy that may be lost: 0.01.", panel="Defences")
    ] = None,
    max_tpr: Annotated[Text, option("--max-tpr", help="TPR allowed at an FPR: 0.05@0.01.", panel="Defences")] = None,
    canaries: Annotated[
        int | None, option("--canaries", help="Audit so many canaries at each point.", panel="Defences")
    ] = None,
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
    validation: Annotated[Text, option("--validation", help="Points are chosen on these.", panel="Data")] = None,
    model: options.ModelName = None,
    shadow_models: Annotated[
        int | None, option("--shadow-models", help="How many a point; even.", panel="Attack")
    ] = None,
    cascade: options.CascadeAtPoints = None,
    attacks: options.Attacks = None,
    temperature: options.Temperature = None,
    fpr: options.Fpr = None,
    settings: options.Settings = None,
    engine: options.Engine = None,
    ray_address: options.RayAddress = None,
    device: options.Device = None,
    seed: options.Seed = None,
    out: Annotated[Text, option("--out", help="Folder of the frontier.", panel="Run")] = None,
    dry_run: Annotated[bool, option("--dry-run", help="List the points and what they cost.", panel="Run")] = False,
    json: Annotated[bool, option("--json", help="Print frontier.json alone.", panel="Run")] = False,
    redact: options.Redact = False,
    redact_scores: options.RedactScores = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare defences: train each over its grid, attack it adaptively, recommend one under a constraint.

    The same command again continues where it stopped. Without a study and flags: a small frontier on digits.
    """
    arguments = locals()
    with guarded(debug, resume_hint="the same command continues where it stopped"):
        flags = options.flags(arguments)
        _check_constraint(max_accuracy_loss, max_tpr)
        if study is None and shadow_models is None:
            flags["shadow.count"] = SHADOW_MODELS
        request = study_of(study, flags, settings or [], demo=DEMO)
        if dry_run:
            _dry_run(request, json)
            return
        _run(request, json, quiet)


def _check_constraint(max_accuracy_loss: float | None, max_tpr: str | None) -> None:
    from memberwise.errors import StudyError

    if max_accuracy_loss is not None and max_tpr is not None:
        raise StudyError(
            "one constraint at a time", found="--max-accuracy-loss and --max-tpr", fix="leave one of them out"
        )


def _run(study: Study, json: bool, quiet: bool) -> None:
    from rich.console import Console

    from memberwise.cli.progress import Bar
    from memberwise.frontier.flow import run_defend
    from memberwise.frontier.terminal import print_frontier
    from memberwise.signals.progress import Silent

    silent, errors = quiet or json, Console(stderr=True)

    def announce(place: int, total: int, name: str) -> None:
        if not silent:
            errors.print(f"{place} of {total}: {name}" if total else name, highlight=False, markup=False)

    with stdout_to_stderr(json):
        frontier = run_defend(study, progress=Silent() if silent else Bar(), announce=announce)
    if json:
        to_stdout(frontier.to_json())
    else:
        show(frontier.parts, print_frontier, f"Report: {frontier.folder}/frontier.html")


def _dry_run(study: Study, json: bool) -> None:
    from memberwise.frontier.flow import expected_points

    with stdout_to_stderr(json):
        points, seconds = expected_points(study)
    if json:
        print_json({"points": points, "seconds": round(seconds)})
        return
    from memberwise.study.duration import duration

    to_stdout("".join(f"{label}\n" for label in points))
    to_stdout(
        f"{len(points)} points and two more to confirm: about {duration(seconds)} if each costs as much as plain "
        "training; distillation, games and DP-SGD cost several times as much.\n"
    )
