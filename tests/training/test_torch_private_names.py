"""Names that torch keeps to itself may go: each is hidden here, and training does without it."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.layer_kinds import BATCH_NORMS, kinds_of
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.planning import multiplies_bfloat16
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, Step
from memberwise.training.steppers.base import mapped, only
from memberwise.training.steppers.conv_compiled import Compiled, refusals
from memberwise.training.steppers.dense import why_not_written_out
from memberwise.training.steppers.dense_compiled import can_compile, compiled
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

CPU = torch.device("cpu")


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def test_without_the_instructions_named_float32_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert not multiplies_bfloat16(CPU)


def test_without_the_inner_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch._inductor", "torch._inductor.cpp_builder"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not can_compile(CPU)
    with pytest.raises(TrainingError, match=r"could not be compiled(.|\n)*plan.compile=false"):
        compiled(lambda x: x + 1, [torch.zeros(2)])


def test_compiler_without_its_error_is_refused_by_runtime_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("no g++")

    monkeypatch.setitem(sys.modules, "torch._dynamo.exc", ModuleType("empty"))
    assert refusals() == (RuntimeError, RuntimeError)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: failing)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    with pytest.raises(TrainingError, match="no g\\+\\+"):
        Compiled(lambda x: x)(torch.zeros(1))


def test_where_hooks_cannot_be_seen_the_step_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_written_out(chain()) is None
    monkeypatch.delattr(torch.nn.modules.module, "_has_any_global_hook")
    assert why_not_written_out(chain()) == "hooks on all modules"
    job = Job(np.arange(12), Step(), Recipe.of(TrainingConfig(epochs=1, batch_size=4)), 0)
    data = DataTensors.of(np.ones((12, 4), np.float32), np.arange(12) % 3, 3, CPU)
    assert len(StackTrainer(Network(chain, CPU), data, Plan(2)).train([job, job])) == 2


def test_without_a_base_class_the_public_layers_are_known() -> None:
    class Mine(nn.modules.batchnorm._BatchNorm): ...

    assert issubclass(Mine, BATCH_NORMS)
    assert kinds_of(ModuleType("empty"), "_BatchNorm", nn.BatchNorm1d) == (nn.BatchNorm1d,)


def test_trees_keep_their_form() -> None:
    batch = Batch(torch.ones(2, 3), torch.zeros(2), None, torch.arange(2), None, torch.zeros(2))  # type: ignore[arg-type]
    assert mapped(batch)._fields == batch._fields
    assert [only(batch).x.shape, only({"a": (torch.ones(2, 5), None)})["a"][0].shape] == [(3,), (5,)]
    assert mapped({"a": [torch.ones(1), None]}) == {"a": [0, None]}
