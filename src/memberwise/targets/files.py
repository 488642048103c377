"""A target that was trained elsewhere, from its file. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memberwise.errors import MemberwiseError, Note, TargetError
from memberwise.targets.base import Records, Target
from memberwise.targets.boosters import BOOSTERS, load_booster
from memberwise.targets.estimators import EstimatorModels
from memberwise.targets.kinds import FileKind, TargetContext
from memberwise.targets.onnx import OnnxModel
from memberwise.targets.skops_files import load_skops
from memberwise.targets.state_dicts import CHANGE
from memberwise.targets.weights import SAFETENSORS, TORCH

REFUSED = {
    ".pkl": "a pickle runs code when it is opened",
    ".pickle": "a pickle runs code when it is opened",
    ".joblib": "a joblib file is a pickle and runs code when it is opened",
    ".pt2": "an exported program runs code when it is opened",
    ".h5": "Keras files are not read",
    ".keras": "Keras files are not read",
}


def _load_onnx(path: Path, context: TargetContext) -> tuple[Target, list[Note]]:
    model = OnnxModel(path, context.example, context.dataset, context.output)
    return model, model.input_notes


def _load_estimator(path: Path, context: TargetContext) -> tuple[Target, list[Note]]:
    return EstimatorModels([load_skops(path)], context.dataset.class_labels), []


def _load_boosted(path: Path, context: TargetContext) -> tuple[Target, list[Note]]:
    return EstimatorModels([load_booster(path)], context.dataset.class_labels), []


FILE_KINDS: tuple[FileKind, ...] = (
    SAFETENSORS,
    FileKind((".onnx",), ".onnx", _load_onnx),
    FileKind((".skops",), ".skops", _load_estimator),
    FileKind(tuple(BOOSTERS), "XGBoost's .json or .ubj, LightGBM's .txt, CatBoost's .cbm", _load_boosted),
    TORCH,
)


def check_target_file(path: Path) -> FileKind:
    """The kind of a target's file; what is never opened is refused before any work.

    Raises:
        TargetError: the file does not exist, is a pickle, joblib, ``.pt2`` or TorchScript file, or of unknown kind.
    """
    suffix = path.suffix.lower()
    if suffix in REFUSED:
        fix = "convert it with skops (skops.io.dump)" if suffix == ".joblib" else CHANGE
        raise TargetError(f"{path} is refused: {REFUSED[suffix]}", where="target.file", fix=fix)
    if not path.is_file():
        raise TargetError(f"the target {path} does not exist", where="target.file")
    kind = next((kind for kind in FILE_KINDS if suffix in kind.endings), None)
    if kind is None:
        *words, last = (kind.words for kind in FILE_KINDS)
        raise TargetError(
            f"{path} is no kind of model file that is read",
            expected=f"{', '.join(words)}, or {last}",
            where="target.file",
            fix=CHANGE,
        )
    kind.check(path)
    return kind


def load_target(path: Path, context: TargetContext) -> tuple[Target, list[Note]]:
    """The target as something that answers, and what was noticed.

    Args:
        path: a file of one of ``FILE_KINDS``: weights of the context's network, or a complete model.

    Raises:
        TargetError: it cannot be read, or does not answer about the data's records and classes.
    """
    kind = check_target_file(path)
    try:
        target, notes = kind.load(path, context)
    except MemberwiseError:
        raise
    except Exception as error:
        raise TargetError(
            f"the target {path} cannot be read",
            expected=kind.words,
            found=f"{type(error).__name__}: {error}",
            where="target.file",
        ) from error
    check_answers(target, f"the target {path}", context.example, context.classes)
    return target, notes


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
            found=f"answers of shape {shape[1:] if len(shape) == 3 else shape}",
        )
