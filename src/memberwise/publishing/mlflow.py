"""A result in MLflow: figures with their intervals as metrics, the report as an artefact (extra ``mlflow``)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from memberwise.errors import MissingExtraError
from memberwise.publishing.figures import Figure, figures_of
from memberwise.report import sentence
from memberwise.report.files import write_all
from memberwise.report.formats import number
from memberwise.report.redact import redacted
from memberwise.report.result import Result
from memberwise.report.schema import AuditResult

if TYPE_CHECKING:
    from mlflow.models import EvaluationMetric

# MLflow takes names of letters, digits and these; a figure of an attack of the user's own may have others.
ALLOWED = frozenset("_-. :/")
FILES = ("report.html", "result.json", "junit.xml", "model_card.md")
MOST_AT_ONCE = 1000


def log_result(
    result: Result,
    *,
    tracking_uri: str | None = None,
    experiment: str = "memberwise",
    run_name: str | None = None,
    run_id: str | None = None,
    redact: bool = True,
) -> str:
    """Log a result to an MLflow tracking server.

    Args:
        tracking_uri: the server's address; MLflow's own setting by default. run_id: a run to add to, else a new one.
        redact: leave out all about single records: whoever reads the tracker reads the artefacts.

    Returns:
        The run's id.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    mlflow = _mlflow()
    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    parts, scores, curves = result.parts, result.scores, dict(result.curves)
    if redact:
        parts, scores, curves = redacted(parts, scores, curves, and_scores=True)
    ours = run_id is None
    if run_id is None:
        known = client.get_experiment_by_name(experiment)
        place = known.experiment_id if known else client.create_experiment(experiment)
        run_id = client.create_run(place, run_name=run_name).info.run_id
    from mlflow.entities import Metric, Param, RunTag

    at = client.get_run(run_id).info.start_time
    metrics = [Metric(name, value, at, 0) for name, value in metrics_of(parts).items()]
    for first in range(0, len(metrics), MOST_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[first : first + MOST_AT_ONCE])
    client.log_batch(
        run_id,
        params=[Param(key, value) for key, value in params_of(parts).items()],
        tags=[RunTag(key, value) for key, value in tags_of(parts).items()],
    )
    with tempfile.TemporaryDirectory(prefix="memberwise-") as folder:
        write_all(Path(folder), parts, scores, curves)
        for name in FILES:
            client.log_artifact(run_id, str(Path(folder) / name), "memberwise")
    if ours:
        client.set_terminated(run_id)
    return str(run_id)


def metrics_of(result: AuditResult) -> dict[str, float]:
    """Every figure, its ends beside it as ``/low`` and ``/high``; those without a value are left out."""
    metrics = {}
    for figure in figures_of(result):
        estimate = figure.estimate
        for end, value in (("", estimate.value), ("/low", estimate.low), ("/high", estimate.high)):
            if number(value) is not None:
                metrics[_allowed(figure.name + end)] = float(value or 0.0)
    return metrics


def params_of(result: AuditResult) -> dict[str, str]:
    """On what the figures rest."""
    data = result.data
    values = {
        "seed": result.seed,
        "headline": result.headline,
        "data": data.source,
        "data_sha256": data.sha256,
        "members": data.members,
        "nonmembers": data.nonmembers,
        "shadow_models": result.shadow and result.shadow.count,
        "confidence": (result.study.get("statistics") or {}).get("confidence"),
    }
    return {f"memberwise.{key}": str(value)[:500] for key, value in values.items() if value is not None}


def tags_of(result: AuditResult) -> dict[str, str]:
    """What the gate says, and by which version."""
    return {
        "memberwise.outcome": sentence.outcome(result),
        "memberwise.gate": str(result.verdict.gate or "none")[:5000],
        "memberwise.version": result.memberwise_version,
    }


def evaluation_metrics(result: Result, attacks: Sequence[str] | None = None) -> list[EvaluationMetric]:
    """A finished audit's figures for ``mlflow.models.evaluate(..., extra_metrics=evaluation_metrics(result))``.

    Args:
        attacks: whose figures; the headline's by default.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    _mlflow()
    from mlflow.models import make_metric

    names = attacks or [result.parts.headline]
    return [
        make_metric(
            eval_fn=_constant(figure),
            greater_is_better=False,
            name="leakage_" + _allowed(figure.name).replace("/", "_").replace("-", "_").replace(".", "_"),
        )
        for figure in figures_of(result.parts)
        if figure.attack in names
    ]


def _constant(figure: Figure) -> Callable[[object], object]:
    from mlflow.metrics import MetricValue

    ends = {"value": figure.estimate.value, "low": figure.estimate.low, "high": figure.estimate.high}

    def measured(predictions: object) -> object:
        del predictions  # the audit asked the model itself
        return MetricValue(aggregate_results={key: value for key, value in ends.items() if value is not None})

    return measured


def _allowed(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ALLOWED else "_" for letter in name)


def _mlflow() -> ModuleType:
    try:
        import mlflow
    except ImportError as error:
        raise MissingExtraError.of(error.name or "mlflow", "mlflow", "logging to MLflow") from None
    return mlflow
