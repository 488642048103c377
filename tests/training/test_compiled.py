"""The compiled step trains the models which the written-out step and torch's optimiser train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.steppers.dense_compiled import MISCOMPILED, can_compile, takes_compiled, usual_size
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(1)
DATA = DataTensors.of(RNG.normal(size=(300, 20)).astype(np.float32), RNG.integers(0, 5, 300), 5, CPU)
needs_compiler = pytest.mark.skipif(not can_compile(CPU), reason="there is no C++ compiler here")


def network() -> Network:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 5))

    return Network(make, CPU).computing(torch.bfloat16, torch.contiguous_format)


def jobs(size: int = 150, **recipe: object) -> list[Job]:
    settings = Recipe.of(
        TrainingConfig.model_validate({"epochs": 3, "batch_size": 32, "learning_rate": 0.02, **recipe})
    )
    return [Job(np.random.default_rng(k).permutation(300)[:size], Step(0.1), settings, k) for k in range(3)]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("recipe", "size"),
    [({"nesterov": True, "weight_decay": 0.01}, 150), ({"momentum": 0.0, "learning_rate": 0.2}, 129)],
    ids=["all, a last batch of 22", "plain, a last batch of 33"],
)
def test_compiled_or_not_the_same_models(recipe: dict[str, object], size: int) -> None:
    """In batches of 32 the last one is smaller, or one record larger."""
    eager = train_stack(jobs(size, **recipe), network(), DATA)
    half = network()
    compiled = train_stack(jobs(size, **recipe), half, DATA, compiled=True)
    assert half.programs, "it was compiled"
    assert not half.notes, "and compared with what it was compiled from"
    for name, value in eager.params.items():
        assert compiled.params[name].dtype is torch.float32
        # Both round products to bfloat16 (8 bits), at different places.
        torch.testing.assert_close(compiled.params[name], value, rtol=0.02, atol=2e-3)
    np.testing.assert_allclose(compiled.losses, eager.losses, rtol=5e-3)
    assert float(eager.losses[0, -1]) < 0.99 * float(eager.losses[0, 0]), "there was something to learn"


def private(noise: float = 3.0) -> list[Job]:
    return [replace(job, step=DpSgd(noise, 0.5, 32.0, 0.1)) for job in jobs(momentum=0.5, weight_decay=0.01)]


def one_layer() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 5, bias=False))


def plain_network() -> Network:
    return Network(lambda: nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5, bias=False)), CPU)


@pytest.mark.slow
@needs_compiler
def test_dp_sgd_is_compiled_with_its_noise() -> None:
    """Poisson batches are padded to one size; one that is larger goes as it is written."""
    network = Network(one_layer, CPU)
    assert takes_compiled(private()[0], network)
    compiled = train_stack(private(), network, DATA, compiled=True)
    assert any(network.programs.values()), "it was compiled"
    assert not network.notes
    for other in (
        train_stack(private(), Network(one_layer, CPU), DATA),
        train_stack(private(), Network(one_layer, CPU).generally(), DATA),
    ):
        for name, value in other.params.items():
            torch.testing.assert_close(compiled.params[name], value, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(compiled.losses, other.losses, rtol=1e-3)
    quiet = train_stack(private(0.0), Network(one_layer, CPU), DATA)
    assert max(float((compiled.params[n] - quiet.params[n]).abs().max()) for n in quiet.params) > 0.01


@pytest.mark.parametrize("size", [16, 40, 64])
def test_dp_sgds_padding_changes_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken as it is written, with a program's size below, about and above what batches hold."""
    monkeypatch.setattr("memberwise.training.steppers.dense_compiled.usual_size", lambda job: size)
    monkeypatch.setattr("memberwise.training.steppers.dense_compiled.compiled", lambda function, _: function)
    padded = train_stack(private(), plain_network(), DATA, compiled=True)
    eager = train_stack(private(), plain_network(), DATA)
    for name, value in eager.params.items():
        torch.testing.assert_close(padded.params[name], value, rtol=1e-3, atol=1e-4)


def test_few_poisson_batches_are_larger_than_usual() -> None:
    for rows, batch in ((3000, 64), (60_000, 240), (40, 64)):
        job = replace(private()[0], rows=np.arange(rows), recipe=replace(private()[0].recipe, batch_size=batch))
        larger = stats.binom.sf(usual_size(job), rows, min(1.0, batch / rows))
        assert larger < 0.01
        assert usual_size(job) < 1.6 * min(batch, rows)


@pytest.mark.slow
@needs_compiler
def test_models_of_unlike_sizes_are_compiled_too() -> None:
    """143 and 150 records take as many steps; 129 take one less, and train apart."""
    unlike = [replace(job, rows=job.rows[:n]) for job, n in zip(jobs(150), (143, 129, 150), strict=True)]
    together = train_stack(unlike, network(), DATA, compiled=True)
    for k, job in enumerate(unlike):
        alone = train_stack([job], network(), DATA)
        for name, value in alone.params.items():
            torch.testing.assert_close(together.params[name][k], value[0], rtol=0.02, atol=2e-3)
        np.testing.assert_allclose(together.losses[k], alone.losses[0], rtol=5e-3)


@pytest.mark.slow
@needs_compiler
def test_each_recipe_is_a_program_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frontier trains many recipes in one process: more than torch would compile one function for."""
    monkeypatch.setattr("torch._dynamo.config.recompile_limit", 1)
    for k in range(3):
        recipe: dict[str, Any] = {"weight_decay": 0.001 * (k + 1), "epochs": 1}
        compiled = train_stack(jobs(**recipe), network(), DATA, compiled=True)
        eager = train_stack(jobs(**recipe), network(), DATA)
        np.testing.assert_allclose(compiled.losses, eager.losses, rtol=5e-3)


@needs_compiler
def test_a_program_that_does_something_else_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that leaves out the last parameter: the step goes on as it is written, and it is told."""

    def wrong(function: Callable[..., object], arguments: Sequence[torch.Tensor]) -> Callable[..., object]:
        def program(*values: torch.Tensor) -> object:
            kept = values[3].clone()
            result = function(*values)
            values[3].copy_(kept)
            return result

        return program

    monkeypatch.setattr("memberwise.training.steppers.dense_compiled.compiled", wrong)
    half = network()
    stack = train_stack(jobs(), half, DATA, compiled=True)
    assert [*half.notes] == [MISCOMPILED]
    eager = train_stack(jobs(), network(), DATA)
    for name, value in eager.params.items():
        torch.testing.assert_close(stack.params[name], value, rtol=0.02, atol=2e-3)


def test_what_has_no_compiled_step() -> None:
    class Other(Step):
        pass

    plain = jobs()[0]
    assert takes_compiled(plain, network())
    assert not takes_compiled(jobs(optimizer="adam")[0], network())
    assert not takes_compiled(jobs(clip_norm=1.0)[0], network())
    assert not takes_compiled(Job(plain.rows, Other(), plain.recipe, 0), network())
