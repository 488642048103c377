"""The engine on a GPU: ``pytest -m cuda``. With MEMBERWISE_CUDA_TESTS=cpu the same tests rehearse on a CPU.

Float32 on a GPU sums in another order than on a CPU, without TensorFloat-32, which is switched off here: after three
epochs parameters agree to 1e-3 of their size and 1e-4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memberwise as mw
from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.models.network import Network
from memberwise.models.randomness import normal, step_keys
from memberwise.study.schema import TrainingConfig
from memberwise.training.equality import why_general
from memberwise.training.job import Job, TrainedStack
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.steppers.dense_compiled import can_compile
from memberwise.training.tensors import DataTensors

pytestmark = pytest.mark.cuda
CPU = torch.device("cpu")
RTOL, ATOL = 1e-3, 1e-4
RNG = np.random.default_rng(5)
X, Y = RNG.random((200, 3, 8, 8)).astype(np.float32), RNG.integers(0, 4, 200)


@pytest.fixture
def device() -> Iterator[torch.device]:
    """The GPU, or what the rehearsal says."""
    name = os.environ.get("MEMBERWISE_CUDA_TESTS", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; MEMBERWISE_CUDA_TESTS=cpu rehearses without one")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield torch.device(name)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4))


def conv() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)),
    )


def batch_normed() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 4)),
    )


def jobs(step: Step | None = None, count: int = 3, **recipe: object) -> list[Job]:
    values = {"epochs": 3, "batch_size": 32, "learning_rate": 0.02, **recipe}
    made = Recipe.of(TrainingConfig.model_validate(values))
    return [Job(np.random.default_rng(k).permutation(200)[:120], step or Step(), made, 9 + k) for k in range(count)]


def on(device: torch.device, make: Callable[[], nn.Module], wanted: list[Job], **how: Any) -> TrainedStack:
    return train_stack(wanted, Network(make, device), DataTensors.of(X, Y, 4, device), **how)


def check_near(params: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(params[name].cpu(), value.cpu(), rtol=RTOL, atol=ATOL)


MODULES = pytest.mark.parametrize("make", [mlp, dropping, conv, batch_normed])


@MODULES
def test_a_stack_equals_its_models_alone(make: Callable[[], nn.Module], device: torch.device) -> None:
    stack = on(device, make, jobs())
    alone = on(device, make, jobs()[1:2], stacked=False)
    for kind in ("params", "buffers"):
        values = {name: value[1:2] for name, value in getattr(stack, kind).items()}
        check_near(values, getattr(alone, kind))
    assert stack.params["1.weight" if make in (mlp, dropping) else "0.weight"].device.type == device.type


@MODULES
def test_the_gpu_trains_what_the_cpu_trains(make: Callable[[], nn.Module], device: torch.device) -> None:
    there, here = on(device, make, jobs()), on(CPU, make, jobs())
    check_near(there.params | there.buffers, here.params | here.buffers)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-3)
    assert (here.losses[:, -1] < here.losses[:, 0]).all(), "there was something to learn"


@pytest.mark.parametrize("make", [mlp, conv])
def test_bfloat16_trains_close_by(make: Callable[[], nn.Module], device: torch.device) -> None:
    data, exact = DataTensors.of(X, Y, 4, device), on(device, make, jobs())
    half = Network(make, device).computing(torch.bfloat16, torch.contiguous_format)
    np.testing.assert_allclose(train_stack(jobs(), half, data).losses, exact.losses, rtol=0.03)
    last = Network(make, device).computing(torch.bfloat16, torch.channels_last)
    alone = train_stack(jobs(count=1), last, data, stacked=False)
    np.testing.assert_allclose(alone.losses, exact.losses[:1], rtol=0.03)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="there is no C++ compiler here")
def test_the_compiled_stack_equals_the_eager(device: torch.device) -> None:
    network, data = Network(mlp, device), DataTensors.of(X, Y, 4, device)
    compiled = train_stack(jobs(momentum=0.8, nesterov=True), network, data, compiled=True)
    assert any(network.programs.values()), "it was compiled"
    assert not network.notes
    eager = on(device, mlp, jobs(momentum=0.8, nesterov=True))
    check_near(compiled.params, eager.params)


@pytest.mark.parametrize("make", [mlp, dropping, conv])
def test_dp_sgd_is_the_cpus_noise_included(make: Callable[[], nn.Module], device: torch.device) -> None:
    step = DpSgd(0.8, 0.5, 32.0)
    there, here = on(device, make, jobs(step)), on(CPU, make, jobs(step))
    check_near(there.params, here.params)
    network = Network(make, device)
    data = DataTensors.of(X, Y, 4, device)
    assert why_general(network, jobs(step)[0], data, stacked=True, compiled=False) is None
    general = train_stack(jobs(step), network.generally(), data)
    check_near(there.params, general.params)


def test_draws_are_the_same_everywhere(device: torch.device) -> None:
    key = step_keys(3, 1)[0]
    torch.testing.assert_close(normal(key.to(device), (1001,)).cpu(), normal(key, (1001,)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_on_another_device(device: torch.device, tmp_path: Path) -> None:
    """Blocks of one device stay, models of the other join them; those of both answer alike."""
    study: dict[str, Any] = {
        "data": "digits",
        "members": 100,
        "nonmembers": 100,
        "population": 50,
        "attacks": ["loss", "lira-online-fixed"],
        "seed": 4,
    }
    settings = {"training.epochs": 2, "model.hidden": [16], "plan.stack": 2, "plan.precision": "float32"}

    def audit(name: str, where: str, models: int) -> dict[str, Any]:
        how = settings | {"run.device": where}
        mw.audit(**study, settings=how, shadow_models=models, out=tmp_path / name)
        return dict(json.loads((tmp_path / name / "result.json").read_text()))

    audit("mixed", device.type, 4)
    blocks = {path.name: path.read_bytes() for path in (tmp_path / "mixed" / "signals").glob("block-*.npz")}
    mixed, plain = audit("mixed", "cpu", 8), audit("plain", "cpu", 8)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "mixed" / "signals").glob("block-*.npz")}
    assert blocks.items() <= kept.items(), "nothing was trained again"
    assert mixed["shadow"]["resumed"] == 4
    for one, other in zip(mixed["attacks"], plain["attacks"], strict=True):
        assert one["auc"]["value"] == pytest.approx(other["auc"]["value"], abs=0.01)


def test_rows_of_unlike_number_stay_apart(device: torch.device) -> None:
    """Padded models of a stack on the device end as alone."""
    unlike = [replace(job, rows=job.rows[:n]) for job, n in zip(jobs(), (120, 110, 100), strict=True)]
    stack = on(device, mlp, unlike)
    alone = on(device, mlp, unlike[2:], stacked=False)
    check_near({name: value[2:] for name, value in stack.params.items()}, alone.params)
