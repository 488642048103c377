"""``memberwise.inspect``: what a fitted model keeps of its training records, told from its structure alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from memberwise.errors import StudyError, TargetError
from memberwise.targets.estimators import bare
from memberwise.targets.inspection.findings import LEAST, Finding, Inspection
from memberwise.targets.inspection.settings import settings_of
from memberwise.targets.inspection.stored import answers_in, records_in
from memberwise.targets.inspection.trees import leaves_of, parameters_of, records_of_trees, trees_inside
from memberwise.targets.inspection.walk import parts_of
from memberwise.types.foreign import Estimator

ORDER = ("stored-records", "stored-answers", "class-disclosure", "small-leaves", "parameters", "settings")


def inspect(model: object, *, records: int | None = None, least: int = LEAST, trust: Sequence[str] = ()) -> Inspection:
    """What a fitted scikit-learn model keeps of its training records, without an attack.

    Found are records that lie in the model itself (support vectors, neighbours, Gaussian processes), leaves of trees
    with few members, leaves that tell their members' class, more parameters than records, and settings known to
    memorise; each with what to change. What is not found is not shown to be safe: ``memberwise.audit`` attacks it.

    Args:
        model: a fitted estimator or pipeline (XGBoost, LightGBM and CatBoost too), or its file: .skops, or the
            boosters' own (.json, .ubj; .txt; .cbm).
        records: how many records it was trained on, where the model does not tell.
        least: leaves with fewer members are called small.
        trust: types of a skops file that may be loaded, by name.

    Raises:
        TargetError: the file cannot be read, or holds no fitted estimator.
        StudyError: ``records`` is below 1, or ``least`` below 2.

    Examples:
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> import memberwise
        >>> model = KNeighborsClassifier(3).fit([[0], [1], [2], [3]], [0, 0, 1, 1])
        >>> memberwise.inspect(model).stored_records
        4
    """
    for name, value, smallest in (("records", records, 1), ("least", least, 2)):
        if value is not None and value < smallest:
            raise StudyError(f"{name} is too small", expected=f"at least {smallest}", found=str(value), where=name)
    estimator, notes = _loaded(Path(model), trust) if isinstance(model, (str, os.PathLike)) else (model, ())
    estimator = bare(estimator)
    if not hasattr(estimator, "get_params") or not _is_fitted(estimator):
        raise TargetError(
            "there is no fitted scikit-learn model to inspect",
            expected="a fitted estimator or pipeline, or a .skops file",
            found=f"an unfitted {type(estimator).__name__}" if hasattr(estimator, "fit") else type(estimator).__name__,
            fix="of a network: memberwise audit; it has no such structure to look at",
        )
    known = records if records is not None else _records(estimator)
    findings: list[Finding] = []
    # Trees of an ensemble are said with it, once.
    inner = {id(tree) for _, part in parts_of(estimator) if hasattr(part, "get_params") for tree in trees_inside(part)}
    for path, part in parts_of(estimator):
        if hasattr(part, "get_params") and not isinstance(part, type):
            name = path if path == type(part).__name__ else f"{path} ({type(part).__name__})"
            findings += _findings(name, part, known, whole=part is estimator)
            if id(getattr(part, "tree_", None)) not in inner:
                findings += leaves_of(name, part, least)
    findings.sort(key=lambda one: ORDER.index(one.code))
    notes = (*notes, *_not_looked_at(part for _, part in parts_of(estimator)))
    return Inspection(model=type(estimator).__name__, records=known, findings=tuple(_distinct(findings)), notes=notes)


def _not_looked_at(parts: Iterable[object]) -> list[str]:
    """What of boosters is not read, so that "nothing found" is not taken for more than it is."""
    libraries = {cls.__module__.partition(".")[0] for part in parts for cls in type(part).__mro__}
    return [
        f"the leaves of {name} were not looked at, its settings alone"
        for library, name in (("xgboost", "XGBoost"), ("catboost", "CatBoost"))
        if library in libraries
    ]


def _findings(name: str, part: Estimator, records: int | None, whole: bool) -> Iterator[Finding]:
    checks: tuple[Callable[[str, Estimator], Iterator[Finding]], ...] = (records_in, answers_in, settings_of)
    for check in checks:
        yield from check(name, part)
    if whole:
        yield from parameters_of(name, part, records)


def _distinct(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The parts of an ensemble repeat its settings: what a part and the whole share is said once."""
    said: set[tuple[str, str]] = set()
    for one in findings:
        key = (one.code, one.message if one.code == "settings" else one.part)
        if key not in said:
            said.add(key)
            yield one


def _records(estimator: object) -> int | None:
    """How many records the model was trained on, where it tells."""
    counts = [records_of_trees(estimator)]
    for _, part in parts_of(estimator):
        if hasattr(part, "get_params"):
            counts.append(getattr(part, "n_samples_fit_", None))
            counts.append(getattr(part, "n_samples_seen_", None))
            rounds, seen = getattr(part, "n_iter_", None), getattr(part, "t_", None)
            if hasattr(part, "coefs_") and rounds and seen:
                counts.append(round(seen / rounds))
    known = [int(np.max(count)) for count in counts if isinstance(count, (int, float, np.number, np.ndarray))]
    return max(known) if known else None


def _is_fitted(estimator: object) -> bool:
    fitted = getattr(estimator, "__sklearn_is_fitted__", None)
    try:
        if fitted is not None:
            return bool(fitted())
        if hasattr(estimator, "is_fitted"):  # CatBoost
            return bool(estimator.is_fitted())
    except Exception:
        return False
    steps = getattr(estimator, "steps", None)
    if steps:
        return _is_fitted(steps[-1][1])
    return any(name.endswith("_") and not name.startswith("__") for name in vars(estimator))


def _loaded(path: Path, trust: Sequence[str]) -> tuple[object, tuple[str, ...]]:
    from memberwise.targets.boosters import BOOSTERS, load_booster
    from memberwise.targets.skops_files import load_skops, trust_notes

    suffix = path.suffix.lower()
    if suffix not in (".skops", *BOOSTERS):
        raise TargetError(
            f"{path} is no file whose structure is looked at",
            expected=f".skops, or the boosters' own: {', '.join(BOOSTERS)}",
            found=suffix or "no ending",
            fix="save the fitted model with skops.io.dump; of networks (.safetensors, .onnx): memberwise audit",
        )
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    if suffix in BOOSTERS:
        return load_booster(path), ()
    return load_skops(path, trust), tuple(note.message for note in trust_notes(path))
