"""Weighted smoothing: the weights against a slow loop, the noise against its stated spread, nothing in the warm-up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, RECIPE, batch_of, difference, gradient, jobs, linear, mlp, records, step_of
from pydantic import ValidationError
from torch import Tensor
from torch.func import vmap

from memberwise.defences.training import weighted_smoothing
from memberwise.defences.training.weighted_smoothing import DEFENCE, WeightedSmoothing, WeightedSmoothingStep, weights
from memberwise.training.loop import train_stack
from memberwise.training.step import State, Step

RNG = np.random.default_rng(0)
OUTPUTS = torch.from_numpy(RNG.normal(size=(60, CLASSES)).astype(np.float32) * 3)
LABELS = torch.from_numpy(RNG.integers(0, CLASSES, 60))


def slow_mentr(logits: Tensor, labels: Tensor) -> np.ndarray[Any, Any]:
    values = []
    for z, y in zip(logits.double().numpy(), labels.tolist(), strict=True):
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        own = -(1 - p[y]) * np.log(p[y])
        values.append(own - sum(p[j] * np.log(1 - p[j]) for j in range(len(p)) if j != y))
    return np.array(values)


def test_weights_of_a_class_have_mean_1_and_deviation_1() -> None:
    ours, mentr = weights(OUTPUTS, LABELS, None, "class").double().numpy(), slow_mentr(OUTPUTS, LABELS)
    for c in range(CLASSES):
        own = LABELS.numpy() == c
        assert ours[own].mean() == pytest.approx(1, abs=1e-5)
        assert ours[own].std() == pytest.approx(1, abs=1e-5)
        expected = 1 - (mentr[own] - mentr[own].mean()) / mentr[own].std()
        np.testing.assert_allclose(ours[own], expected, rtol=1e-4, atol=1e-5)
    assert ours[mentr.argmin()] > 1, "what is fitted best gets more than the mean"


def test_other_normalisations() -> None:
    mentr = slow_mentr(OUTPUTS, LABELS)
    over_all = weights(OUTPUTS, LABELS, None, "global").numpy()
    np.testing.assert_allclose(over_all, 1 - (mentr - mentr.mean()) / mentr.std(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights(OUTPUTS, LABELS, None, "none").numpy(), 1 - mentr, rtol=1e-4, atol=1e-5)


def test_weights_go_with_their_records_and_padding_has_none() -> None:
    order = torch.from_numpy(RNG.permutation(60))
    plain = weights(OUTPUTS, LABELS, None, "class")
    torch.testing.assert_close(weights(OUTPUTS[order], LABELS[order], None, "class"), plain[order])
    padded = torch.cat([OUTPUTS, OUTPUTS[:5]]), torch.cat([LABELS, LABELS[:5]])
    with_padding = weights(*padded, torch.cat([torch.ones(60), torch.zeros(5)]), "class")
    torch.testing.assert_close(with_padding, torch.cat([plain, torch.zeros(5)]))


def test_a_class_of_one_record_and_answers_beyond_doubt() -> None:
    outputs = torch.tensor([[90.0, 0, 0], [-90, 90, 0], [1, 2, 0], [0, 1, 2]])
    ours = weights(outputs, torch.tensor([0, 0, 1, 1]), None, "class")
    assert torch.isfinite(ours).all()
    assert ours[:2].tolist() == pytest.approx([2, 0])
    assert weights(outputs, torch.tensor([0, 1, 2, 2]), None, "class")[:2].tolist() == [1, 1]


def test_weights_after_training_are_those_of_its_rows_in_order() -> None:
    """Batches are shuffled every epoch; the weights belong to positions all the same."""
    network, table, wanted = mlp(), records(), jobs(step_of("weighted-smoothing", {"sigma": 0.1, "warmup": 1}))
    trained = train_stack(wanted, network, table)
    rows = torch.from_numpy(wanted[2].rows)
    logits, _ = network({k: v[2] for k, v in trained.params.items()}, {}, table.x[rows], None)
    torch.testing.assert_close(
        trained.own["weight"][2], weights(logits, table.y[rows], None, "class"), atol=1e-4, rtol=1e-3
    )


def test_no_noise_in_the_warm_up() -> None:
    network, table = mlp(), records()
    for epochs, quiet in ((3, True), (4, False)):
        wanted = jobs(step_of("weighted-smoothing", {"sigma": 0.1}), count=1, recipe=replace(RECIPE, epochs=epochs))
        plain = train_stack([replace(job, step=Step()) for job in wanted], network, table)
        assert (difference(train_stack(wanted, network, table), 0, plain, 0) < 1e-5) == quiet


LOGITS = torch.tensor([[1.0, 0.0, -1.0]])
P = torch.softmax(LOGITS[0], 0).double()


def one_record(options: dict[str, Any], draws: int, weight: float = 2.0) -> np.ndarray[Any, Any]:
    """``(draws,)`` exp(-loss) of one record with true class 0: its probability with noise."""
    network, params = linear(torch.eye(3))
    step = WeightedSmoothingStep(WeightedSmoothing.model_validate(options))
    state = State({}, {"weight": torch.tensor([weight])})
    batch = batch_of(LOGITS, torch.tensor([0]))
    loss = vmap(lambda key: step.loss(network, params, state, batch, key)[0])(torch.arange(draws))
    return torch.exp(-loss).double().numpy()


@pytest.mark.parametrize(("gap", "factor"), [(False, 1.0), (True, float(P[0] - P[1]))])
def test_noise_on_the_prediction_has_the_stated_spread(gap: bool, factor: float) -> None:
    options = {"sigma": 0.02, "gap_scaling": gap}
    drawn = one_record(options, 2000)
    assert drawn.mean() == pytest.approx(float(P[0]), abs=5 * 0.04 * factor / np.sqrt(2000))
    assert drawn.std() == pytest.approx(0.02 * 2 * factor, rel=0.1)  # six standard errors
    np.testing.assert_array_equal(one_record(options, 5), drawn[:5])
    np.testing.assert_allclose(one_record(options, 5, weight=0.0), float(P[0]), rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"gap_scaling": True}, {"projection": True}, {"position": "logits"}])
def test_the_loss_and_its_gradient_as_written_out(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, gap and noise are constants: the gradient goes through the answer alone."""
    noise = torch.from_numpy(RNG.normal(size=(60, CLASSES)).astype(np.float32))
    monkeypatch.setattr(weighted_smoothing, "record_noise", lambda key, ids, classes: noise[ids])
    own, smooth = torch.rand(60) * 2, WeightedSmoothing.model_validate({"sigma": 0.3, **options})
    network, params = linear(torch.eye(CLASSES))
    ours = gradient(WeightedSmoothingStep(smooth), network, params, batch_of(OUTPUTS, LABELS), {"weight": own})
    shift, total = torch.zeros(CLASSES, requires_grad=True), torch.zeros(())
    for i in range(60):
        z = OUTPUTS[i] + shift
        p, sure = torch.softmax(z, 0), torch.softmax(OUTPUTS[i], 0).sort().values
        n = 0.3 * own[i] * noise[i] * ((sure[-1] - sure[-2]) if smooth.gap_scaling else 1)
        if smooth.position == "logits":
            q = torch.softmax(z + n, 0)
        else:
            q = (p + n).abs() / (p + n).abs().sum() if smooth.projection else p + n
        total = total - torch.log(q[LABELS[i]].clamp(min=float(np.exp(-36))))
    [expected] = torch.autograd.grad(total / 60, shift)
    torch.testing.assert_close(ours["bias"], expected, rtol=1e-3, atol=1e-4)


def test_noise_on_the_gradient_has_the_spread_of_the_records_sum() -> None:
    network, params = linear(torch.zeros(40, 50))
    step = step_of("weighted-smoothing", {"sigma": 0.5, "position": "gradient"})
    own, mask = torch.tensor([2.0, -1, 3, 9]), torch.tensor([1.0, 1, 1, 0])
    batch = batch_of(torch.zeros(4, 50), torch.zeros(4, dtype=torch.int64), mask=mask)
    noisy = gradient(step, network, params, batch, {"weight": own})["weight"]
    assert float(noisy.std()) == pytest.approx(0.5 * np.sqrt(4 + 1 + 9) / 3, rel=0.1)
    assert abs(float(noisy.mean())) < 5 * float(noisy.std()) / np.sqrt(2000)


def test_the_gradient_is_clipped_unless_there_is_no_noise() -> None:
    assert DEFENCE.settings is not None
    for given, expected in ((None, 10.0), (1.0, 1.0)):
        study = {"training": {"clip_norm": given}}
        assert DEFENCE.settings(WeightedSmoothing(), study) == {"training.clip_norm": expected}
        assert DEFENCE.settings(WeightedSmoothing(sigma=0), study) == {}


def test_the_gap_is_one_of_an_answer() -> None:
    with pytest.raises(ValidationError, match="gap_scaling goes with"):
        WeightedSmoothing(gap_scaling=True, position="gradient")
