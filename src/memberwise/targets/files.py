"""A target that was trained elsewhere, from its file. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.data import Dataset
from memberwise.errors import MissingExtraError, TargetError
from memberwise.models.ending import with_ending
from memberwise.models.network import Network
from memberwise.targets.base import Records, Target
from memberwise.targets.estimators import EstimatorModels
from memberwise.targets.models import TorchModels
from memberwise.targets.onnx import OnnxModel
from memberwise.targets.state_dicts import CHANGE, Note, load_weights

REFUSED = {
    ".pkl": "a pickle runs code when it is opened",
    ".pickle": "a pickle runs code when it is opened",
    ".joblib": "a joblib file is a pickle and runs code when it is opened",
    ".pt2": "an exported program runs code when it is opened",
    ".h5": "Keras files are not read",
    ".keras": "Keras files are not read",
}
# What torch.save writes, by its usual endings (model.pth.tar, too).
TORCH = (".pt", ".pth", ".ckpt", ".bin", ".tar")


def check_target_file(path: Path) -> None:
    """Refuse, before any work, what is never opened.

    Raises:
        TargetError: the file does not exist, is a pickle, joblib, ``.pt2`` or TorchScript file, or of unknown kind.
    """
    suffix = path.suffix.lower()
    if suffix in REFUSED:
        fix = "convert it with skops (skops.io.dump)" if suffix == ".joblib" else CHANGE
        raise TargetError(f"{path} is refused: {REFUSED[suffix]}", where="target.file", fix=fix)
    if not path.is_file():
        raise TargetError(f"the target {path} does not exist", where="target.file")
    if suffix not in (".safetensors", ".onnx", ".skops", *TORCH):
        raise TargetError(
            f"{path} is no kind of model file that is read",
            expected=".safetensors, .onnx, .skops, or .pt/.pth holding a state dict",
            where="target.file",
            fix=CHANGE,
        )
    if suffix in TORCH and _is_torchscript(path):
        raise TargetError(
            f"{path} is refused: TorchScript runs code when it is opened", where="target.file", fix=CHANGE
        )


def load_target(path: Path, network: Network | None, dataset: Dataset, example: Records) -> tuple[Target, list[Note]]:
    """The target as something that answers, and what was noticed.

    Args:
        path: .safetensors or .pt/.pth (weights of ``network``), .onnx or .skops (complete models).
        network: the architecture the weights belong to; None where the study names none.
        dataset: the data: the target must answer about its classes.
        example: a few records to ask once, so that a target which does not fit is found now.
    """
    check_target_file(path)
    suffix = path.suffix.lower()
    notes: list[Note] = []
    if suffix == ".onnx":
        target: Target = (model := OnnxModel(path, example, dataset))
        notes = model.input_notes
    elif suffix == ".skops":
        target = EstimatorModels([load_skops(path)], dataset.class_labels)
    else:
        if network is None:
            raise TargetError(
                f"the weights in {path} need their architecture", where="model.name", fix="--model file.py:function"
            )
        module, notes = load_weights(path, network)
        target = module_target(module, network, example)
        if {name for name, _ in module.named_buffers()} - {*module.state_dict()}:
            _refuse_drawn(path, network, example, target)
    check_answers(target, f"the target {path}", example, len(dataset.classes))
    return target, notes


def module_target(module: torch.nn.Module, network: Network, example: Records) -> TorchModels:
    """A trained module as something that answers, in the manner of ``network``, whose weights it may replace.

    Args:
        example: a few records, ``(n, ...)``.
    """
    if not any(value.requires_grad for value in module.parameters()):
        for value in module.parameters():  # nothing trains it; frozen for its use, it has gradients all the same
            value.requires_grad_(value.is_floating_point())
    around = with_ending(network.around(module), torch.from_numpy(example.copy()).to(network.device))
    params, buffers = around.init(0)
    return TorchModels(around, {k: v[None] for k, v in params.items()}, {k: v[None] for k, v in buffers.items()}, False)


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


def check_answers(target: Target, name: str, example: Records, classes: int) -> None:
    """Ask a few records.

    Args:
        example: ``(n, ...)``. classes: how many answers must have.

    Raises:
        TargetError: the target fails at them, or does not answer as many classes as there are.
    """
    try:
        shape = np.shape(target.predict(example))
    except TargetError:
        raise
    except Exception as error:
        raise TargetError(
            f"{name} cannot answer about the data's records",
            expected=f"records of shape {example.shape[1:]}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    if target.kind != "labels" and shape != (1, len(example), classes):
        raise TargetError(
            f"{name} does not answer as the data has classes",
            expected=f"{classes} classes",
            found=f"answers of shape {shape[1:]}",
        )


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())


def load_skops(path: Path) -> Any:
    """The estimator of a skops file.

    Raises:
        TargetError: it holds types that are not loaded without trust, or is no skops file.
    """
    try:
        import skops.io
    except ImportError:
        raise MissingExtraError.of("skops", "sklearn", f"the target {path}") from None
    try:
        return skops.io.load(path)
    except Exception as error:
        raise TargetError(
            f"{path} holds types that are not loaded without trust, or is no skops file",
            found=str(error)[:300],
            fix="export the model to ONNX (skl2onnx) and give the .onnx file",
        ) from error
