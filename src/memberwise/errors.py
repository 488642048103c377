"""Every error memberwise raises on purpose.

    MemberwiseError                  anything below; ``except MemberwiseError`` catches them all
    ├── StudyError (ValueError)      the study, a flag or a gate rule cannot be carried out as written
    ├── DataError (ValueError)       records, labels or saved answers are not what they should be
    ├── TargetError (ValueError)     the target model cannot be loaded or does not fit the study
    ├── RunFolderError (ValueError)  the output folder holds something else, or is in use
    ├── MissingExtraError (ImportError)   an optional package is needed
    ├── StoreError (RuntimeError)    the gateway's store cannot be opened, or does not answer
    ├── CheckError (AssertionError)  an attack or a defence does not keep to its contract
    ├── AskingError (RuntimeError)   a served model cannot be asked any more
    └── TrainingError (RuntimeError) something failed while training or answering

A message says what is wrong, then what was expected, what was found, where, and what to do about it.
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterable
from typing import NamedTuple


class Note(NamedTuple):
    """What was noticed and refuses nothing: a code, such as "few-shadow-models", and a sentence."""

    code: str
    message: str


class MemberwiseError(Exception):
    """The root of the tree. ``exit_code`` is what the command line returns for it.

    Examples:
        >>> import memberwise as mw
        >>> try:
        ...     mw.audit(settings={"training.epoch": 5})
        ... except mw.MemberwiseError as error:
        ...     print(type(error).__name__, error.exit_code)
        StudyError 2
    """

    exit_code = 4

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.expected, self.found, self.where, self.fix = problem, expected, found, where, fix
        parts = [("expected", expected), ("found", found), ("where", where), ("what to do", fix)]
        super().__init__("\n".join([problem, *(f"  {name}: {text}" for name, text in parts if text)]))


class StudyError(MemberwiseError, ValueError):
    """The study, a flag or a gate rule cannot be carried out as written.

    Examples:
        >>> import memberwise as mw
        >>> mw.audit(fail_if="auc>0.4")
        Traceback (most recent call last):
        memberwise.errors.StudyError: ...
    """

    exit_code = 2


class DataError(MemberwiseError, ValueError):
    """Records, labels or saved answers are not what they should be.

    Examples:
        >>> import memberwise as mw
        >>> mw.audit(outputs={"logits": [[0.1, 0.2]], "labels": [0, 1], "member": [0, 1]})
        Traceback (most recent call last):
        memberwise.errors.DataError: ...
    """

    exit_code = 2


class TargetError(MemberwiseError, ValueError):
    """The target model cannot be loaded or does not fit the study.

    Examples:
        >>> import memberwise as mw
        >>> mw.inspect("model.onnx")
        Traceback (most recent call last):
        memberwise.errors.TargetError: ...
    """

    exit_code = 2


class RunFolderError(MemberwiseError, ValueError):
    """The output folder holds another study's run, or another process is writing to it.

    Examples:
        >>> import memberwise as mw
        >>> mw.load_target("nowhere")
        Traceback (most recent call last):
        memberwise.errors.RunFolderError: nowhere holds no model...
    """

    exit_code = 2


class MissingExtraError(MemberwiseError, ImportError):
    """An optional package is needed for what was asked.

    Examples:
        >>> from memberwise import MissingExtraError
        >>> print(MissingExtraError.of("skops", "sklearn", "a .skops file"))
        a .skops file needs the package skops, which is not installed
          what to do: pip install 'memberwise[sklearn]'
    """

    exit_code = 2

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """The error for a missing package which the extra ``memberwise[extra]`` brings."""
        return cls(
            f"{purpose} needs the package {package}, which is not installed",
            fix=f"pip install 'memberwise[{extra}]'",
        )


class TrainingError(MemberwiseError, RuntimeError):
    """Something failed while training models or asking them for answers.

    Examples:
        >>> from memberwise import TrainingError
        >>> print(TrainingError("the loss is NaN", where="epoch 3", fix="a smaller training.learning_rate"))
        the loss is NaN
          where: epoch 3
          what to do: a smaller training.learning_rate
    """

    exit_code = 4


class AskingError(MemberwiseError, RuntimeError):
    """A served model cannot be asked any more; what it has answered is kept.

    Examples:
        >>> from memberwise import AskingError, MemberwiseError
        >>> issubclass(AskingError, MemberwiseError), AskingError.exit_code
        (True, 4)
    """

    exit_code = 4


class StoreError(MemberwiseError, RuntimeError):
    """The gateway's store of keys and budgets cannot be opened, or does not answer.

    Examples:
        >>> from memberwise import MemberwiseError, StoreError
        >>> issubclass(StoreError, MemberwiseError), StoreError.exit_code
        (True, 4)
    """

    exit_code = 4


class CheckError(MemberwiseError, AssertionError):
    """An attack or a defence does not keep to its contract.

    Examples:
        >>> import memberwise as mw
        >>> from memberwise.attacks import Attack, Needs
        >>> mw.check_attack(Attack("flat", lambda signals, rng: None, Needs(), source="mine", summary="Nothing."))
        Traceback (most recent call last):
        memberwise.errors.CheckError: ...
    """


def leave_out(column: str) -> str:
    """How the command line leaves a column out, whatever its name; names with a comma only as a study key."""
    if "," not in column:
        return f"--drop {shlex.quote(column)}"
    return "--set " + shlex.quote(f"data.drop=[{json.dumps(column, ensure_ascii=False)}]")


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str | None:
    """The question whether one of the nearest names was meant, in whatever case; None where none is near."""
    written: dict[str, list[str]] = {}
    for one in known:
        written.setdefault(one.casefold(), []).append(one)
    near = difflib.get_close_matches(name.casefold(), written, n=most)
    close = [one for folded in near for one in written[folded]][:most]
    return f"did you mean {' or '.join(close)}?" if close else None
