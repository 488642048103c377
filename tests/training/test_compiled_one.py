"""The compiled step of one convolutional network trains what ordinary autograd trains, model after model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.equality import why_general
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.pace import measured, step_timer
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.steppers.conv_compiled import gains_compiled, takes_compiled_one
from memberwise.training.steppers.dense_compiled import can_compile
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(8)
DATA = DataTensors.of(RNG.integers(0, 256, (120, 3, 9, 9)).astype(np.uint8), RNG.integers(0, 5, 120), 5, CPU)
SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.01, "nesterov": True}


def conv() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.Flatten(), nn.Dropout(0.3)),
        nn.Linear(64, 5),
    )


def job(seed: int, step: Step | None = None, **settings: object) -> Job:
    recipe = Recipe.of(TrainingConfig.model_validate(SETTINGS | settings))
    return Job(np.arange(seed, seed + 100), step or Step(0.1), recipe, seed)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="there is no C++ compiler here")
@pytest.mark.parametrize(
    ("precision", "layout", "weights", "losses"),
    [
        (torch.float32, torch.contiguous_format, 1e-4, 1e-5),
        # Both round to bfloat16 (8 bits), at different places.
        (torch.bfloat16, torch.channels_last, 0.05, 5e-3),
    ],
    ids=["float32", "bfloat16"],
)
def test_compiled_or_not_the_same_models(
    precision: torch.dtype, layout: torch.memory_format, weights: float, losses: float
) -> None:
    """100 records in batches of 16: the last batch is smaller. The second model runs what the first compiled."""
    network = Network(conv, CPU).computing(precision, layout)
    assert why_general(network, job(1), DATA, stacked=False, compiled=True) is None, "or both would be the same code"
    for seed in (1, 2):
        eager = train_stack([job(seed)], network, DATA, stacked=False)
        compiled = train_stack([job(seed)], network, DATA, stacked=False, compiled=True)
        for kind in ("params", "buffers"):
            for name, value in getattr(eager, kind).items():
                found = getattr(compiled, kind)[name]
                assert found.dtype is value.dtype
                torch.testing.assert_close(found, value, rtol=0, atol=weights * float(value.abs().max()))
        np.testing.assert_allclose(compiled.losses, eager.losses, rtol=losses)
        assert not network.notes, "the program was compared with what it was compiled from"
        assert float(eager.losses[0, -1]) < 0.99 * float(eager.losses[0, 0]), "there was something to learn"


def test_what_has_no_compiled_step() -> None:
    class Other(Step):
        pass

    network = Network(conv, CPU)
    assert takes_compiled_one(job(0), network)
    assert not takes_compiled_one(job(0, Other()), network)
    assert not takes_compiled_one(job(0, optimizer="adam", nesterov=False), network)
    assert not takes_compiled_one(job(0, clip_norm=1.0), network)
    assert not takes_compiled_one(job(0), Network(lambda: nn.Linear(3, 2), CPU))


def test_where_compiling_gains() -> None:
    def of(*parts: nn.Module) -> Network:
        return Network(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *parts), CPU)

    assert gains_compiled(job(0), of(nn.MaxPool2d(2)), 1e13)
    assert not gains_compiled(job(0), of(nn.AvgPool2d(2)), 1e16)
    normed = of(nn.BatchNorm2d(8), nn.MaxPool2d(2))
    assert [gains_compiled(job(0), normed, work) for work in (1e14, 1e15)] == [False, True], "minutes to compile"


def test_a_step_that_is_given_up_is_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compiles to something else is timed, and told, as what it falls back to."""
    monkeypatch.setattr("memberwise.training.steppers.conv_compiled.Compiled", lambda function: function)
    monkeypatch.setattr("memberwise.training.steppers.conv_compiled.is_same", lambda *_: False)
    network, compiled = Network(conv, CPU), Plan(1, compile=True, stacked=False)
    with pytest.raises(TrainingError, match="given up"):
        step_timer(compiled, network, DATA, job(1))
    monkeypatch.setattr("memberwise.training.pace.SHORT", 0.0)
    monkeypatch.setattr("memberwise.training.pace.SECONDS", 0.0)
    monkeypatch.setattr("memberwise.training.pace.MARGIN", 0.0)
    (pace,) = measured([compiled], network, DATA, job(1))
    assert pace.plan == replace(compiled, compile=False)
