"""Answers as the named arrays of a block, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from memberwise.signals.collectors.registry import collector_key
from memberwise.signals.questions import Questions
from memberwise.signals.table import Answers
from memberwise.types.arrays import Arrays

T = TypeVar("T")

# Full answers are kept of the first shadow models only: attack models need no more rows, and disks are finite.
VECTOR_MODELS = 16


VECTOR_BYTES = 256_000_000
# Arrays that hold full answers; and what names of early checkpoints' arrays begin with.
FIRST_MODELS = ("audited.vectors", "auxiliary.vectors", "population.vectors")
EARLY = "early"


def vector_models(records: int, classes: int, count: int) -> int:
    """Of how many first shadow models full answers are kept."""
    return min(count, VECTOR_MODELS, max(2, VECTOR_BYTES // max(1, records * classes * 4)))


def lacking(arrays: Arrays, questions: Questions, first: int = -1) -> str:
    """What is to be gathered and a block does not hold, by name; empty where it holds all.

    ``first``: number of the block's first model, -1 the target.
    """
    figures = "kind" in arrays and arrays["kind"][0] != "labels"
    held = all(f"audited.phi@{temperature}" in arrays for temperature in questions.temperatures)
    missing = [] if held or not figures else ["answers at the temperatures now asked for"]
    missing += [
        f"answers of the collector {collector.name!r} as now asked for"
        for collector in questions.extras
        if first < questions.models_of(collector)
        and (arrays.get(f"extra.{collector.name}", [""])[0] != collector_key(collector))
    ]
    return ", ".join(missing)


def answers_of(arrays: Arrays, prefix: str) -> Answers | None:
    """The ``Answers`` under a prefix ("audited", "population") of a block's arrays."""
    if f"{prefix}.log_p" not in arrays:
        return None
    extra, phi = f"{prefix}.extra.", f"{prefix}.phi@"
    return Answers(
        arrays[f"{prefix}.log_p"],
        arrays[f"{prefix}.log_1mp"],
        arrays[f"{prefix}.correct"],
        arrays.get(f"{prefix}.vectors"),
        arrays["kind"][0].item(),
        extra={name.removeprefix(extra): values for name, values in arrays.items() if name.startswith(extra)},
        saturated=float(arrays["saturated"].mean()),
        tempered={
            float(name.removeprefix(phi)): values
            for name, values in arrays.items()
            if name.startswith(phi) and len(values) == len(arrays[f"{prefix}.log_p"])
        },
    )


def join(parts: Sequence[Arrays], vectors: int = VECTOR_MODELS) -> Arrays:
    """The arrays of several blocks as one; full answers of the first ``vectors`` models."""
    parts = list(of_first_models(parts))
    names = parts[0].keys()
    joined = {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
    for name in FIRST_MODELS:
        if name in joined:
            joined[name] = joined[name][:vectors]
    return joined


def of_first_models(parts: Iterable[Mapping[str, T]]) -> Iterator[dict[str, T]]:
    """Blocks in their order, without what a block before them should hold of its models and does not.

    Some arrays are of the first models only; a block of an older version may lack them.
    """
    known: set[str] | None = None
    for part in parts:
        first = {name for name in part if name in FIRST_MODELS or name.startswith(EARLY)}
        known = first if known is None else known & first
        yield {name: value for name, value in part.items() if name in known or name not in first}


def early_of(arrays: Arrays, prefix: str = "") -> tuple[Answers, ...]:
    """Answers of early checkpoints about audited records, or ("population") others; the earliest first."""
    checkpoints: list[Answers] = []
    while (answers := answers_of(arrays, f"{EARLY}{len(checkpoints) + 1}{prefix}")) is not None:
        checkpoints.append(answers)
    return tuple(checkpoints)


def _fields(prefix: str, answers: Answers) -> Arrays:
    arrays: Arrays = {
        f"{prefix}.log_p": answers.log_p,
        f"{prefix}.log_1mp": answers.log_1mp,
        f"{prefix}.correct": answers.correct,
    }
    arrays |= {f"{prefix}.phi@{temperature}": phi for temperature, phi in answers.tempered.items()}
    return arrays if answers.vectors is None else arrays | {f"{prefix}.vectors": answers.vectors}
