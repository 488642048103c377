"""A scikit-learn model from a skops file, which runs no code of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memberwise.errors import MissingExtraError, Note, TargetError
from memberwise.targets.inspection.tree_structure import CHECKED, check_trees
from memberwise.targets.skops_types import PLAIN
from memberwise.types.foreign import Estimator


def load_skops(path: Path, trust: Sequence[str] = ()) -> Estimator:
    """The estimator of a skops file.

    scikit-learn's trees are loaded by name, and checked node by node before anything is asked of them; its plain parts
    (``skops_types``) are loaded by name.

    Args:
        trust: further types that may be loaded, by their full names.

    Raises:
        TargetError: it holds types that are not loaded without trust, a tree that leads nowhere, or is no skops file.
    """
    unknown = [name for name in types_of(path) if name not in (*CHECKED, *PLAIN, *trust)]
    if unknown:
        raise TargetError(
            f"{path} holds types that are not loaded without trust",
            found=", ".join(unknown),
            where="target.trust",
            fix=f"if you know where the file comes from: --trust {','.join(unknown)}; else export the model to ONNX "
            "(skl2onnx) and give the .onnx file",
        )
    import skops.io

    try:
        estimator: Estimator = skops.io.load(path, trusted=types_of(path))
    except Exception as error:
        raise _no_skops(path, error) from error
    check_trees(estimator, str(path))
    return estimator


def types_of(path: Path) -> list[str]:
    """Names of the types in a skops file which it does not load by itself.

    Raises:
        TargetError: it is no skops file.
    """
    try:
        import skops.io
    except ImportError:
        raise MissingExtraError.of("skops", "sklearn", f"the target {path}") from None
    try:
        return [str(name) for name in skops.io.get_untrusted_types(file=path)]
    except Exception as error:
        raise _no_skops(path, error) from error


def trust_notes(path: Path) -> list[Note]:
    """What the report says of types that were loaded by name."""
    types = types_of(path)
    checked, plain = [t for t in types if t in CHECKED], [t for t in types if t in PLAIN]
    others = [t for t in types if t not in (*CHECKED, *PLAIN)]
    notes = [f"{', '.join(checked)} (every node checked)"] if checked else []
    notes += [f"{', '.join(plain)} (plain parts and functions)"] if plain else []
    notes += [f"{', '.join(others)} (trusted by target.trust)"] if others else []
    return [Note("trusted-types", f"{path} holds types that were loaded by name: {'; '.join(notes)}")] if notes else []


def _no_skops(path: Path, error: Exception) -> TargetError:
    return TargetError(
        f"{path} is no skops file that can be read",
        found=f"{type(error).__name__}: {str(error)[:300]}",
        fix="save the model again (skops.io.dump), or export it to ONNX (skl2onnx) and give the .onnx file",
    )
