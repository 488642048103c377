"""Copies of a record before clipping and averages over steps, against slow loops; the numerical accountant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memberwise.defences.training.base import Fit
from memberwise.defences.training.dp_accounting import Sampling, epsilon_of, noise_for, numerical_epsilon_of
from memberwise.defences.training.dp_sgd import DEFENCE, DpSgdOptions
from memberwise.defences.training.dp_sgd_scaled import ScaledDpSgd
from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.errors import StudyError
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import step_keys
from memberwise.study.schema import TrainingConfig
from memberwise.training.augment import crop
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2, 8, 8)).astype(np.float32)
Y = (X[:, 0, 0, 0] > 0).astype(np.int64)
DATA = DataTensors.of(X, Y, 2, CPU)
RECIPE = Recipe.of(TrainingConfig(epochs=2, batch_size=16, learning_rate=0.1))


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))


def scaled(noise: float = 0.0, **options: object) -> ScaledDpSgd:
    wanted: dict[str, Any] = {"multiplicity": 1, "augment": (), "decay": 0.0, "epochs": 2} | options
    return ScaledDpSgd(noise, 0.5, 16.0, **wanted)


def jobs(step: Step, count: int = 2) -> list[Job]:
    return [
        Job(np.random.default_rng(k).permutation(120)[:80].astype(np.int64), step, RECIPE, 70 + k) for k in range(count)
    ]


@pytest.mark.slow
def test_without_copies_and_average_it_is_dp_sgd_bit_for_bit() -> None:
    network = Network(conv, CPU)
    ours, plain = (train_stack(jobs(step), network, DATA) for step in (scaled(1.0), DpSgd(1.0, 0.5, 16.0)))
    assert all(torch.equal(value, plain.params[name]) for name, value in ours.params.items())


def test_the_mean_over_copies_is_what_is_clipped() -> None:
    """One record at a time by autograd: four crops of each, their mean gradient clipped, and the sum."""
    network, key = Network(conv, CPU), step_keys(3, 1)[0]
    params, _ = network.init(5)
    step, chosen = scaled(multiplicity=4, augment=("crop",)), torch.from_numpy(X[:6])
    seen: list[Tensor] = []

    class Watching(ScaledDpSgd):
        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> Any:
            seen.append(torch.empty(batch.x.shape))
            return super().loss(network, params, state, batch, key)

    batch = Batch(chosen, torch.from_numpy(Y[:6]), torch.arange(6), None, torch.tensor(0))
    total, losses = step.clipped_sum(network, params, State({}, {}), batch, key)
    gradients, again = step.record_gradients(network, params, State({}, {}), batch, key, slice(0, 6))
    torch.testing.assert_close(losses, again)
    norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0).sqrt()
    weight = (0.5 / norms).clamp(max=1)
    assert float(weight.min()) < 1, "something is clipped"
    for name, value in total.items():
        torch.testing.assert_close(value, torch.einsum("b,b...->...", weight, gradients[name]))
    Watching(0.0, 0.5, 16.0, multiplicity=4, augment=("crop",), decay=0.0, epochs=2).record_gradients(
        network, params, State({}, {}), batch, key, slice(0, 1)
    )
    assert seen[0].shape == (4, 2, 8, 8)


def test_equal_copies_change_nothing_and_others_are_crops() -> None:
    """A white image flips to itself, so its mean gradient is its gradient; a crop is one of the 9 places."""
    network, key = Network(conv, CPU), step_keys(3, 1)[0]
    params, _ = network.init(5)
    white = Batch(torch.ones(3, 2, 8, 8), torch.zeros(3, dtype=torch.long), torch.arange(3), None, torch.tensor(0))
    copies, _ = scaled(multiplicity=5, augment=("flip",)).record_gradients(
        network, params, State({}, {}), white, key, slice(0, 3)
    )
    plain, _ = DpSgd(0.0, 0.5, 16.0).record_gradients(network, params, State({}, {}), white, key, slice(0, 3))
    for name, value in plain.items():
        torch.testing.assert_close(copies[name], value, atol=1e-6, rtol=1e-4)
    image = torch.from_numpy(X[:1])
    gradients, _ = scaled(multiplicity=1, augment=("crop",)).record_gradients(
        network, params, State({}, {}), Batch(image, torch.from_numpy(Y[:1]), torch.arange(1), None, torch.tensor(0)),
        key, slice(0, 1),
    )  # fmt: skip
    places = [crop(image, torch.from_numpy(Y[:1]), k)[0] for k in step_keys(11, 60)]

    def by_hand(x: Tensor) -> Tensors:
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        loss = nn.functional.cross_entropy(network(leaves, {}, x, None)[0], torch.from_numpy(Y[:1]))
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    distance = min(max(float((gradients[n][0] - g).abs().max()) for n, g in by_hand(x).items()) for x in places)
    assert distance < 1e-5


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_model_is_the_moving_average_of_its_steps(decay: float) -> None:
    seen: list[Tensors] = []

    class Watched(ScaledDpSgd):
        def update(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> Any:
            seen.append({name: value.clone() for name, value in params.items()})
            return super().update(network, params, state, batch, key)

        def after_epoch(self, network: Any, params: Any, state: Any, epoch: Any) -> Any:
            if int(epoch.number) == 1:
                seen.append({name: value.clone() for name, value in params.items()})
            return super().after_epoch(network, params, state, epoch)

    step = Watched(0.5, 0.5, 16.0, multiplicity=1, augment=(), decay=decay, epochs=2)
    trained = train_stack(jobs(step, 1), Network(conv, CPU), DATA, stacked=False)
    assert len(seen) == 11
    for name in seen[0]:
        mean = seen[0][name]
        for t, params in enumerate(seen[1:], start=1):
            kept = min(decay, (1 + t) / (10 + t))
            mean = kept * mean + (1 - kept) * params[name]
        torch.testing.assert_close(trained.params[name][0], mean, atol=1e-6, rtol=1e-4)


def test_a_stack_equals_its_models_alone() -> None:
    step = scaled(1.0, multiplicity=2, augment=("flip", "crop"), decay=0.9)
    network = Network(conv, CPU)
    stack, alone = train_stack(jobs(step), network, DATA), train_stack(jobs(step)[1:], network, DATA, stacked=False)
    for name, value in alone.params.items():
        torch.testing.assert_close(stack.params[name][1], value[0], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="multiplicity above 1 goes with augment"):
        DpSgdOptions(multiplicity=4)
    dense = Network(lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 2)), CPU)
    for copies in (1, 2):
        with pytest.raises(StudyError, match="a fully connected network, augment flip"):
            train_stack(jobs(scaled(multiplicity=copies, augment=("flip",))), dense, DATA)
    table = Network(lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5), nn.Linear(4, 2)), CPU)
    with pytest.raises(StudyError, match=r"records of shape \(6,\)"):
        train_stack(jobs(scaled(augment=("crop",)), 1), table, DataTensors.of(X[:, 0, 0, :6], Y, 2, CPU), stacked=False)
    assert DEFENCE.check is not None
    patient = Fit(2, 80, replace(RECIPE, patience=2))
    with pytest.raises(StudyError, match="a mean over steps"):
        DEFENCE.check(DpSgdOptions(average=0.99), patient, conv())
    assert DEFENCE.check(DpSgdOptions(average=0.99), Fit(2, 80, RECIPE), conv())
    step = DEFENCE.step(DpSgdOptions(average=0.99, multiplicity=2, augment=("flip",)), Fit(2, 80, RECIPE))  # type: ignore[misc]
    assert isinstance(step, ScaledDpSgd)
    assert (step.decay, step.multiplicity, step.epochs) == (0.99, 2, 2)
    assert type(DEFENCE.step(DpSgdOptions(), Fit(2, 80, RECIPE))) is DpSgd  # type: ignore[misc]


@pytest.mark.slow
def test_both_accountants_are_told() -> None:
    assert DEFENCE.check is not None
    how = Sampling(16 / 80, 10)
    [(_, message)] = DEFENCE.check(DpSgdOptions(epsilon=8.0), Fit(2, 80, RECIPE), conv())
    numerical = numerical_epsilon_of(noise_for(8.0, how, 1e-5), how, 1e-5)
    assert f"PRV: {numerical:.2f}" in message
    assert "(8.00, 1e-05)" in message
    [(_, much)] = DEFENCE.check(DpSgdOptions(noise_multiplier=0.05), Fit(2, 80, RECIPE), conv())
    assert "PRV: not computed above 50" in much


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_noise_by_numerical_composition_is_less_and_holds(epsilon: float) -> None:
    how = Sampling(0.05, 200)
    less, more = noise_for(epsilon, how, 1e-5, "prv"), noise_for(epsilon, how, 1e-5)
    assert 0.8 * more < less < more
    assert 0.98 * epsilon <= numerical_epsilon_of(less, how, 1e-5) <= epsilon
    assert epsilon_of(less, how, 1e-5) > epsilon


@pytest.mark.slow
def test_little_noise_is_not_composed() -> None:
    """The grid of the transform would take more memory than there is."""
    assert numerical_epsilon_of(0.05, Sampling(0.05, 1000), 1e-5) == float("inf")
    assert numerical_epsilon_of(0.0, Sampling(0.05, 10), 1e-5) == float("inf")
    assert noise_for(100.0, Sampling(0.05, 100), 1e-5, "prv") == noise_for(100.0, Sampling(0.05, 100), 1e-5)
