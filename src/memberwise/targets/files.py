"""A target that was trained elsewhere, from its file. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memberwise.data.labels import ClassLabels
from memberwise.errors import MissingExtraError, TargetError
from memberwise.training.answering import Answering, EstimatorModels, Records, TorchModels, kind_of_answers
from memberwise.training.kind import Kind
from memberwise.training.network import Network, Tensors

CHANGE = "save the weights with safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and give --model"
REFUSED = {
    ".pkl": "a pickle runs code when it is opened",
    ".pickle": "a pickle runs code when it is opened",
    ".joblib": "a joblib file is a pickle and runs code when it is opened",
    ".pt2": "an exported program runs code when it is opened",
    ".h5": "Keras files are not read",
    ".keras": "Keras files are not read",
}
# What wrappers (data parallel, compiled modules) put before the names.
PREFIXES = ("module.", "_orig_mod.", "model.")


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
    if suffix not in (".safetensors", ".pt", ".pth", ".onnx", ".skops"):
        raise TargetError(
            f"{path} is no kind of model file that is read",
            expected=".safetensors, .onnx, .skops, or .pt/.pth holding a state dict",
            where="target.file",
            fix=CHANGE,
        )
    if suffix in (".pt", ".pth") and _is_torchscript(path):
        raise TargetError(
            f"{path} is refused: TorchScript runs code when it is opened", where="target.file", fix=CHANGE
        )


def load_target(path: Path, network: Network | None, classes: int, example: Records) -> Answering:
    """The target as something that answers.

    Args:
        path: .safetensors or .pt/.pth (weights of ``network``), .onnx or .skops (complete models).
        network: the architecture the weights belong to; None where the study names none.
        classes: number of classes; the target must answer that many.
        example: a few records to ask once, so that a target which does not fit is found now.
    """
    check_target_file(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        target: Answering = OnnxModel(path, example)
    elif suffix == ".skops":
        target = EstimatorModels([load_skops(path)], ClassLabels.numbered(classes))
    else:
        if network is None:
            raise TargetError(
                f"the weights in {path} need their architecture", where="model.name", fix="--model file.py:function"
            )
        params, buffers = match_weights(_read_weights(path), network, path)
        target = TorchModels(network, params, buffers, stacked=False)
    try:
        shape = target.ask(example).shape
    except Exception as error:
        raise TargetError(
            f"the target {path} cannot answer about the data's records",
            expected=f"records of shape {example.shape[1:]}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    if target.kind != "labels" and shape != (1, len(example), classes):
        raise TargetError(
            f"the target {path} does not answer as the data has classes",
            expected=f"{classes} classes",
            found=f"answers of shape {shape[1:]}",
        )
    return target


def match_weights(weights: Tensors, network: Network, path: Path) -> tuple[Tensors, Tensors]:
    """Weights as stacked parameters and buffers of the architecture, ``(1, ...)`` each.

    Raises:
        TargetError: names or shapes that do not fit, with the differences.
    """
    params, buffers = network.init(0)
    wanted = params | buffers
    for prefix in ("", *PREFIXES):
        found = {name.removeprefix(prefix): value for name, value in weights.items()}
        if set(wanted) <= set(found):
            break
    else:
        found = weights
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not part of the architecture" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise TargetError(
            f"the weights in {path} do not fit the architecture",
            found="; ".join(problems[:4]) + more,
            where="model.name",
            fix="name the architecture that the target was built with, with the same options",
        )

    def take(names: Tensors) -> Tensors:
        return {name: found[name].to(value)[None] for name, value in names.items()}

    return take(params), take(buffers)


class OnnxModel:
    """An ONNX classifier, run by onnxruntime; its first output of (records, classes) numbers is the answer."""

    def __init__(self, path: Path, example: Records) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError.of("onnxruntime", "onnx", f"the target {path}") from None
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise TargetError(f"{path} is no readable ONNX model", found=str(error)[:200]) from error
        self.input = self.session.get_inputs()[0]
        ranks = {output.name: len(output.shape or ()) for output in self.session.get_outputs()}
        self.output = next((name for name, rank in ranks.items() if rank == 2), next(iter(ranks)))
        self.kind: Kind = kind_of_answers(self._run(example))

    def __len__(self) -> int:
        return 1

    def ask(self, x: Records) -> NDArray[Any]:
        return np.concatenate([self._run(part) for part in np.array_split(x, max(1, len(x) // 1024))])[None]

    def _run(self, x: Records) -> NDArray[Any]:
        if len(self.input.shape) == 2 and x.ndim > 2:
            x = x.reshape(len(x), -1)
        return np.asarray(self.session.run([self.output], {self.input.name: x})[0])


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TargetError(
            f"{path} cannot be read as weights", found=f"{type(error).__name__}: {str(error)[:200]}", fix=CHANGE
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TargetError(f"{path} holds no state dict", expected="names and tensors only", fix=CHANGE)
    return state


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
