"""Output defences: what a model's owner does to its answers. One file each, one line here."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.rounding import Rounding
from memberwise.defences.output.temperature import Temperature
from memberwise.defences.output.top_k import TopK
from memberwise.errors import StudyError
from memberwise.study import AnswerStudy

OUTPUT_DEFENCES: dict[str, type[OutputDefence]] = {"rounding": Rounding, "temperature": Temperature, "top-k": TopK}


def output_defences(studies: Sequence[AnswerStudy]) -> tuple[OutputDefence, ...]:
    """The output defences that a study's ``answer`` list names, in order.

    Raises:
        StudyError: an unknown name or parameter.
    """
    return tuple(_make(study) for study in studies)


def _make(study: AnswerStudy) -> OutputDefence:
    defence = OUTPUT_DEFENCES.get(study.name)
    if defence is None:
        close = difflib.get_close_matches(study.name, OUTPUT_DEFENCES, n=3)
        raise StudyError(
            f"there is no output defence {study.name}",
            expected="one of " + ", ".join(OUTPUT_DEFENCES),
            where="answer",
            fix=f"did you mean {' or '.join(close)}?" if close else None,
        )
    given = {key: value for key, value in study.model_dump().items() if key != "name"}
    known = list(inspect.signature(defence).parameters)
    for name in given:
        if name not in known:
            raise StudyError(
                f"the output defence {study.name} has no parameter {name}",
                expected="one of " + ", ".join(known),
                where="answer",
            )
    return defence(**given)
