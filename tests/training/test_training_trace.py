"""Loss traces: quantiles over epochs as a slow loop finds them, and a model that is the same with and without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import memberwise as mw
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.study.schema import Study
from memberwise.targets.models import TorchModels
from memberwise.training.step import Step
from memberwise.training.trace import QUANTILES, joined_traces, traced_epochs


def several_logits(shape: Any, classes: int) -> nn.Module:
    return nn.Linear(shape[0], classes)


class OwnLoss(Step):
    """Plain training by a loss of its own."""

    def loss(self, *arguments: Any) -> Any:
        return super().loss(*arguments)


def prepared(model: dict[str, Any] | None = None, plan: dict[str, Any] | None = None, **training: Any) -> Prepared:
    roles = {"source": "digits", "members": 60, "nonmembers": 60, "validation": 40}
    values = {"data": roles, "model": model or {"name": "mlp", "hidden": [8]}, "run": {"device": "cpu"}}
    values["plan"] = {"threads": 1} | (plan or {})
    return prepare(resolve(Study.model_validate(values | {"training": training})), Inputs())


def trained(ours: Prepared, *, traced: bool, epochs: int | None = None) -> Any:
    job = ours.target_job
    recipe = job.recipe if epochs is None else replace(job.recipe, epochs=epochs)
    return ours.trainer.train([replace(job, recipe=recipe, traced=traced)])


def losses(models: TorchModels, ours: Prepared) -> Any:
    rows = ours.target_job.rows
    logits = torch.from_numpy(models.predict(ours.questions.records(rows))[0])
    return functional.cross_entropy(logits, torch.from_numpy(ours.dataset.y[rows]), reduction="none").numpy()


@pytest.mark.slow
def test_quantiles_are_those_of_models_stopped_before_each_epoch() -> None:
    # One batch an epoch at a constant rate: its losses are those of the model that was trained so far.
    still: dict[str, Any] = {"schedule": "constant", "batch_size": 60}
    ours = prepared(epochs=6, learning_rate=0.1, **still)
    begun = losses(trained(prepared(epochs=1, learning_rate=1e-12, **still), traced=False), ours)
    table = np.array([begun, *(losses(trained(ours, traced=False, epochs=e), ours) for e in range(1, 6))])
    expected = np.vstack([np.quantile(table, QUANTILES, axis=0), table[-1:]])
    np.testing.assert_allclose(trained(ours, traced=True).traces[0], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [{}, {"precision": "bfloat16"}, {"stack": 1}])
def test_losses_of_small_batches_stand_at_their_records(plan: dict[str, Any]) -> None:
    ours = prepared(epochs=3, learning_rate=1e-12, batch_size=16, plan=plan)
    same = losses(trained(ours, traced=False), ours)
    for row in trained(ours, traced=True).traces[0]:
        np.testing.assert_allclose(row, same, rtol=0.05 if plan.get("precision") else 1e-4)


@pytest.mark.slow
def test_step_of_ones_own_is_looked_at_after_epochs() -> None:
    ours = prepared(epochs=6, schedule="constant", learning_rate=0.1)
    job = replace(ours.target_job, step=OwnLoss(), traced=True)
    looked = traced_epochs(6, convolves=False, in_step=False)
    stopped = [replace(job, traced=False, recipe=replace(job.recipe, epochs=int(e) + 1)) for e in looked]
    table = np.array([losses(ours.trainer.train([one]), ours) for one in stopped])  # type: ignore[arg-type]
    expected = np.vstack([np.quantile(table, QUANTILES, axis=0), table[-1:]])
    found: Any = ours.trainer.train([job])
    np.testing.assert_allclose(found.traces[0], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "plan"),
    [
        ({"name": "mlp", "hidden": [8]}, {}),
        ({"name": "mlp", "hidden": [8]}, {"precision": "bfloat16"}),
        ({"name": "cnn"}, {"precision": "bfloat16", "stack": 1, "memory_format": "channels_last"}),
    ],
)
def test_traced_model_is_the_same_model(model: dict[str, Any], plan: dict[str, Any]) -> None:
    ours = prepared(epochs=3, model=model, plan=plan)
    plain, traced = trained(ours, traced=False), trained(ours, traced=True)
    assert plain.traces is None
    assert traced.own == {}
    assert all(torch.equal(plain.params[name], traced.params[name]) for name in plain.params)


@pytest.mark.slow
def test_model_that_stops_early_has_no_losses_from_later() -> None:
    ours = prepared(epochs=10, patience=1, learning_rate=5.0)
    traces = trained(ours, traced=True).traces
    assert traces.shape == (1, len(QUANTILES) + 1, 60)
    assert np.isfinite(traces).all() or np.isnan(traces).all()


@pytest.mark.parametrize("in_step", [True, False])
@pytest.mark.parametrize("convolves", [True, False])
def test_looks_are_few_and_end_with_the_training(convolves: bool, in_step: bool) -> None:
    for epochs in (1, 3, 5, 20, 100, 1000):
        looked = traced_epochs(epochs, convolves, in_step)
        assert looked[-1] == epochs - 1
        assert looked[0] >= 0
        assert len(looked) == min(epochs, 100) if in_step else len(looked) <= max(4, 0.75 * epochs)
        if convolves and not in_step and epochs >= 100:
            assert len(looked) / 3 / epochs <= 0.05


def test_stacks_of_unlike_lengths_are_joined_in_order() -> None:
    short, long = np.ones((1, 8, 3), np.float32), np.zeros((2, 8, 4), np.float32)
    joined = joined_traces([long, short], np.array([2, 0, 1]))
    assert joined is not None
    assert joined.shape == (3, 8, 4)
    assert np.isnan(joined[0, :, 3]).all()
    assert joined[0, 0, 0] == 1
    assert joined_traces([long, None], np.arange(2)) is None


def test_trace_of_several_labels_ends_in_the_sum_over_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6)).astype(np.float32)
    data = {"x": x, "y": (x[:, :3] + rng.normal(size=(120, 3)) > 0).astype(int)}  # more sets of labels than labels
    settings = {"training.epochs": 2, "training.label_loss": "mean", "run.device": "cpu"}
    values: dict[str, Any] = {"members": 40, "nonmembers": 40, "settings": settings, "model": several_logits}
    found = mw.screen(data=data, **values).table.set_index("index")["loss"]
    table = mw.audit(data=data, **values, shadow_models=2, attacks="loss").scores
    scores = table[table["member"] == 1].set_index("index")["loss"]
    np.testing.assert_allclose(found[scores.index], -scores, atol=1e-4)
