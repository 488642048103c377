"""Kinds of targets: which files and which objects become something that answers, one record of each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memberwise.data import Dataset
from memberwise.errors import Note
from memberwise.models.network import Network
from memberwise.targets.base import Records, Target


@dataclass(frozen=True, eq=False)
class TargetContext:
    """What a target is loaded for.

    Attributes:
        dataset: the data: the target must answer about its classes.
        example: ``(n, ...)`` a few records to ask once, so that a target which does not fit is found now.
        network: the architecture that weights in a file belong to; None where the study names none.
        output: which of a file's several outputs is the answer; None: the first that tells classes apart.
    """

    dataset: Dataset
    example: Records
    network: Network | None = None
    output: str | None = None

    @property
    def classes(self) -> int:
        """How many figures an answer has."""
        return len(self.dataset.outputs)


def _allowed(path: Path) -> None:
    """Nothing about the file is refused."""


@dataclass(frozen=True)
class FileKind:
    """Model files of one kind.

    Attributes:
        endings: in lower case, with the dot. words: as an error lists it.
        load: the target, and what was noticed.
        check: refuses a file before any work.
    """

    endings: tuple[str, ...]
    words: str
    load: Callable[[Path, TargetContext], tuple[Target, list[Note]]]
    check: Callable[[Path], None] = _allowed


@dataclass(frozen=True)
class ObjectKind:
    """Objects of one kind that Python code hands over as a trained target.

    Attributes:
        words: as an error lists it.
        takes: whether an object is of this kind. load: the target.
    """

    words: str
    takes: Callable[[object], bool]
    load: Callable[[object, TargetContext], Target]
