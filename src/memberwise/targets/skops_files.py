"""A scikit-learn model from a skops file, which runs no code of its own."""

from __future__ import annotations

from pathlib import Path

from memberwise.errors import MissingExtraError, TargetError


def load_skops(path: Path) -> object:
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
