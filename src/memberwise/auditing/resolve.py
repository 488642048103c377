"""The study resolved, once, at the door: whoever comes later asks nothing of its names again."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memberwise.attacks.base import Attack
from memberwise.attacks.request import AttackRequest
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.registry import output_defences
from memberwise.defences.training.registry import refuse_lone_bound, write_out_defence
from memberwise.errors import StudyError
from memberwise.signals.questions import Collector
from memberwise.store.folder import default_folder
from memberwise.study.address import shown_address
from memberwise.study.models import TARGETS_OWN
from memberwise.study.schema import ModelConfig, Study
from memberwise.study.target import TargetConfig
from memberwise.targets.boosters import BOOSTERS
from memberwise.training.engines.registry import find_engine

SAVED_ANSWERS = "saved answers"
NOTHING_SERVED = TargetConfig()


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
    study = with_output_folder(with_policy(write_out_defence(with_targets_model(study))))
    refuse_lone_bound(study)
    find_engine(study.engine)
    request = AttackRequest.of(study, attacks)
    return ResolvedStudy(study, request, request.collectors(study), output_defences(study.answer))


def with_targets_model(study: Study) -> Study:
    """The study of a fitted estimator in a file, whose shadow models are trained as it was unless [model] says how."""
    file = study.target.file
    fitted = file is not None and Path(file).suffix.lower() in (".skops", *BOOSTERS)
    if not fitted or study.model.model_fields_set:
        return study
    return study.model_copy(update={"model": ModelConfig(name=TARGETS_OWN)})


def is_onnx(file: str | None) -> bool:
    """Of such a file one output may be named."""
    return file is not None and file.lower().endswith(".onnx")


def with_policy(study: Study) -> Study:
    """The study of a served model with the output defences of the server's policy, by which shadow models answer.

    Raises:
        StudyError: the policy cannot be read or is another than the study's ``answer``; or no model is served.
    """
    target = study.target
    if target.endpoint is None:
        set_keys = [name for name, value in target.model_dump().items() if value != getattr(NOTHING_SERVED, name)]
        of_files = ("file", "train_rows", "trust", *(("output",) if is_onnx(target.file) else ()))
        strange = [f"target.{name}" for name in set_keys if name not in of_files]
        if strange:
            raise StudyError(
                "this is about a served model, and there is none",
                found=", ".join(strange),
                where="target",
                fix="--endpoint URL",
            )
        return study
    if target.file is not None:
        raise StudyError(
            "a target is in a file or served, not both",
            found=f"{target.file}, {shown_address(target.endpoint)}",
            where="target.file, target.endpoint",
            fix="leave one of them out",
        )
    if study.outputs.file is not None:
        raise StudyError("saved answers are audited without an endpoint", where="target.endpoint")
    if target.policy is None:
        return study
    path = Path(target.policy)
    try:
        answer = tomllib.loads(path.read_text("utf-8")).get("answer", [])
        if not isinstance(answer, list) or not all(isinstance(one, (str, dict)) for one in answer):
            raise ValueError("answer is no list of output defences")
        with_it = Study.model_validate({"answer": answer}).answer
    except (OSError, ValueError) as error:
        raise StudyError(
            "the policy of the endpoint cannot be read",
            expected="a policy.toml with its list of output defences, [[answer]]",
            found=(getattr(error, "strerror", None) or str(error)).partition("\n")[0],
            where=f"target.policy ({path})",
        ) from None
    if study.answer not in ((), with_it):
        raise StudyError(
            "the study's answer is another than the policy's",
            expected="one of them",
            found=", ".join(one.name for one in study.answer) + "; " + (", ".join(o.name for o in with_it) or "none"),
            where="answer, target.policy",
            fix="leave answer out; if the policy has changed since the run was begun, another --out",
        )
    return study.model_copy(update={"answer": with_it})


def with_output_folder(study: Study) -> Study:
    """The study with its output folder settled; of saved answers it names no other source of data."""
    if study.outputs.file is not None:
        study = study.model_copy(update={"data": study.data.model_copy(update={"source": SAVED_ANSWERS})})
    if study.run.out is not None:
        return study
    return study.model_copy(update={"run": study.run.model_copy(update={"out": str(default_folder(study))})})
