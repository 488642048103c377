"""Files of weights, which belong to an architecture: safetensors, and what ``torch.save`` wrote."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from memberwise.errors import Note, TargetError
from memberwise.models.ending import with_ending
from memberwise.models.network import Network
from memberwise.targets.base import Records, Target
from memberwise.targets.ensembles import refuse_ensemble
from memberwise.targets.kinds import FileKind, TargetContext
from memberwise.targets.models import TorchModels
from memberwise.targets.state_dicts import CHANGE, load_weights


def module_target(module: torch.nn.Module, network: Network, example: Records) -> TorchModels:
    """A trained module as something that answers, in the manner of ``network``, whose weights it may replace.

    ``example``: ``(n, ...)`` records.
    """
    if not any(value.requires_grad for value in module.parameters()):
        for value in module.parameters():  # nothing trains it; frozen for its use, it has gradients all the same
            value.requires_grad_(value.is_floating_point())
    around = with_ending(network.around(module), torch.from_numpy(example.copy()).to(network.device))
    params, buffers = around.init(0)
    return TorchModels(around, {k: v[None] for k, v in params.items()}, {k: v[None] for k, v in buffers.items()}, False)


def _load(path: Path, context: TargetContext) -> tuple[Target, list[Note]]:
    network = context.network
    if network is None:
        raise TargetError(
            f"the weights in {path} need their architecture", where="model.name", fix="--model file.py:function"
        )
    module, notes = load_weights(path, network)
    target = module_target(module, network, context.example)
    if {name for name, _ in module.named_buffers()} - {*module.state_dict()}:
        _refuse_drawn(path, network, context.example, target)
    return target, notes


def _refuse_drawn(path: Path, network: Network, example: Records, target: Target) -> None:
    """Refuse a target whose answers depend on a buffer that its file does not hold and the architecture draws."""
    other = module_target(load_weights(path, network, seed=1)[0], network, example)
    if not np.allclose(target.predict(example), other.predict(example), equal_nan=True):
        raise TargetError(
            f"the weights in {path} are not all that the target's answers depend on",
            found="a buffer of the architecture that is drawn at random and not saved (persistent=False)",
            where="model.name",
            fix="register that buffer with persistent=True and save the target again",
        )


def _refuse_torchscript(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            runs = any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())
        if runs:
            raise TargetError(
                f"{path} is refused: TorchScript runs code when it is opened", where="target.file", fix=CHANGE
            )


SAFETENSORS = FileKind((".safetensors",), ".safetensors", _load, check=refuse_ensemble)
# What torch.save writes, by its usual endings (model.pth.tar, too).
TORCH = FileKind(
    (".pt", ".pth", ".ckpt", ".bin", ".tar"), ".pt/.pth holding a state dict", _load, check=_refuse_torchscript
)
