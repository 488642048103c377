"""MLflow: a real server of an environment of its own, asked by MLflow's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memberwise.publishing.figures import figures_of
from memberwise.publishing.mlflow import evaluation_metrics, log_result, metrics_of
from memberwise.report.result import Result
from memberwise.reproduce import servers

mlflow: Any = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def tracking(mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server, which runs until the module's last test."""
    folder = tmp_path_factory.mktemp("tracking")
    port = servers.free_port()
    command = [
        str(mlflow_python), "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", f"{folder}/artifacts", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    # What was set for this process's packages is not for the server's.
    quiet = {**servers.QUIET, "PATH": f"{mlflow_python.parent}:/usr/bin:/bin", "PYTHONPATH": ""}
    url = f"http://127.0.0.1:{port}"
    with servers.running(command, folder, lambda: servers.answers(f"{url}/health"), seconds=240, env=quiet):
        yield url


@pytest.mark.slow
@pytest.mark.services
def test_server_gives_back_every_figure_and_the_report(
    published: Result, tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    run = log_result(published, tracking_uri=tracking, run_name="release 1")
    client = mlflow.MlflowClient(tracking_uri=tracking)
    kept = client.get_run(run)
    assert kept.data.metrics == pytest.approx(metrics_of(published.parts))
    area = published.auc("loss")
    assert (kept.data.metrics["loss/auc"], kept.data.metrics["loss/auc/low"]) == (area.value, area.low)
    assert kept.data.tags["memberwise.outcome"] == "passed"
    assert kept.info.status == "FINISHED"
    names = {Path(one.path).name for one in client.list_artifacts(run, "memberwise")}
    assert names == {"report.html", "result.json", "junit.xml", "model_card.md"}, "no scores of single records"
    found = json.loads(Path(client.download_artifacts(run, "memberwise/result.json", str(tmp_path))).read_text())
    assert found["records"]["worst"] == []
    again = log_result(published, tracking_uri=tracking, run_id=run)
    assert again == run


def test_metric_names_are_ones_that_mlflow_takes(published: Result) -> None:
    from mlflow.utils.validation import _validate_metric_name

    names = metrics_of(published.parts)
    assert len(names) > 2 * len(figures_of(published.parts))
    for name in names:
        _validate_metric_name(name)


def test_evaluation_metrics_are_those_of_the_audit(published: Result) -> None:
    metrics = {one.name: one for one in evaluation_metrics(published, ["loss"])}
    area = published.auc("loss")
    found = metrics["leakage_loss_auc"].eval_fn(predictions=[0, 1]).aggregate_results
    assert found == {"value": area.value, "low": area.low, "high": area.high}
    assert not metrics["leakage_loss_auc"].greater_is_better
