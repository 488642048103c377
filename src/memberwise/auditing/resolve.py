"""The study resolved, once, at the door: whoever comes later asks nothing of its names again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memberwise.attacks.base import Attack
from memberwise.attacks.request import AttackRequest
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.registry import output_defences
from memberwise.defences.training.registry import write_out_defence
from memberwise.signals.questions import Collector
from memberwise.store.folder import default_folder
from memberwise.study.schema import Study
from memberwise.training.engines.registry import find_engine

SAVED_ANSWERS = "saved answers"


@dataclass(frozen=True)
class ResolvedStudy:
    """A study, and what its names stand for.

    Attributes:
        study: with what its training defence sets written out, and its output folder named.
        request: its attacks and gate rules. collectors: what those attacks need asked beyond single answers.
        output_defences: in the order in which answers pass them.
    """

    study: Study
    request: AttackRequest
    collectors: tuple[Collector, ...]
    output_defences: tuple[OutputDefence, ...]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(str(self.study.run.out))

    @property
    def of_saved_answers(self) -> bool:
        """No model is trained or asked."""
        return self.study.outputs.file is not None


def resolve(study: Study, attacks: Sequence[Attack] = ()) -> ResolvedStudy:
    """What a study asks for, with every name looked up.

    Args:
        attacks: those that Python code gave as objects.

    Raises:
        StudyError: an unknown attack, defence, parameter or engine, or rules that cannot be judged.
    """
    study = with_output_folder(write_out_defence(study))
    find_engine(study.shadow.engine)
    request = AttackRequest.of(study, attacks)
    return ResolvedStudy(study, request, request.collectors(study), output_defences(study.answer))


def with_output_folder(study: Study) -> Study:
    """The study with its output folder settled; of saved answers it names no other source of data."""
    if study.outputs.file is not None:
        study = study.model_copy(update={"data": study.data.model_copy(update={"source": SAVED_ANSWERS})})
    if study.run.out is not None:
        return study
    return study.model_copy(update={"run": study.run.model_copy(update={"out": str(default_folder(study))})})
