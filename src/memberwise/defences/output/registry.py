"""Output defences: what a model's owner does to its answers. One file each, one line here."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.confidence_noise import ConfidenceNoise
from memberwise.defences.output.dynanoise import DynaNoise
from memberwise.defences.output.gaussian_noise import GaussianNoise
from memberwise.defences.output.hamp import Hamp
from memberwise.defences.output.high_confidence import HighConfidence
from memberwise.defences.output.image_noise import ImageNoise
from memberwise.defences.output.label_only import LabelOnly
from memberwise.defences.output.ldl import Ldl
from memberwise.defences.output.logit_clipping import LogitClipping
from memberwise.defences.output.memguard import MemGuard
from memberwise.defences.output.pac import Pac
from memberwise.defences.output.pate import Pate
from memberwise.defences.output.reverse_sigmoid import ReverseSigmoid
from memberwise.defences.output.rounding import Rounding
from memberwise.defences.output.temperature import Temperature
from memberwise.defences.output.top_k import TopK
from memberwise.defences.parameters import unusable_parameter
from memberwise.registry import Registry
from memberwise.study.schema import OutputDefenceConfig
from memberwise.targets.base import Kind

_BUILT_IN: dict[str, type[OutputDefence]] = {
    "rounding": Rounding,
    "temperature": Temperature,
    "top-k": TopK,
    "label-only": LabelOnly,
    "high-confidence": HighConfidence,
    "reverse-sigmoid": ReverseSigmoid,
    "gaussian-noise": GaussianNoise,
    "image-noise": ImageNoise,
    "logit-clipping": LogitClipping,
    "confidence-noise": ConfidenceNoise,
    "memguard": MemGuard,
    "hamp": Hamp,
    "ldl": Ldl,
    "dynanoise": DynaNoise,
    "pac": Pac,
    "pate": Pate,
}
OUTPUT_DEFENCES: Registry[type[OutputDefence]] = Registry(
    "output defence",
    _BUILT_IN.items(),
    kinds=(OutputDefence,),
    classes=(OutputDefence,),
    form="file.py:name of an OutputDefence",
    group="memberwise.output_defences",
)


def output_defences(studies: Sequence[OutputDefenceConfig]) -> tuple[OutputDefence, ...]:
    """The output defences that a study's ``answer`` list names, in order: each asks through those before it.

    Raises:
        StudyError: an unknown name or parameter, a value out of range, or a defence that needs scores after one that
            answers labels alone.
    """
    defences = tuple(_make(study) for study in studies)
    _kind_after(defences)
    return defences


def answered_kind(studies: Sequence[OutputDefenceConfig]) -> Kind:
    """What is answered through a study's output defences by a model that gives logits.

    Raises:
        StudyError: as ``output_defences``.
    """
    return _kind_after(tuple(_make(study) for study in studies))


def is_bounded(study: OutputDefenceConfig) -> bool:
    """An output defence whose answers have a bound: drawn by chance, from an ensemble."""
    return issubclass(find_output_defence(study.name)[0], BoundedDefence)


def kind_behind(defences: Sequence[OutputDefence], kind: Kind) -> Kind:
    """What is answered through these defences by a model that gives ``kind``.

    Raises:
        StudyError: a defence can do nothing with what reaches it.
    """
    for defence in defences:
        kind = defence.gives(kind)
    return kind


def _kind_after(defences: Sequence[OutputDefence]) -> Kind:
    return kind_behind(defences, "logits")


def is_output_defence(thing: object) -> bool:
    """A class of output defences, or one of them."""
    return isinstance(thing, OutputDefence) or (isinstance(thing, type) and issubclass(thing, OutputDefence))


def find_output_defence(name: str) -> tuple[type[OutputDefence], dict[str, object]]:
    """The class that a name stands for (built in, or the user's own ``file.py:name``), and parameters it brings.

    Raises:
        StudyError: there is none.
    """
    defence = OUTPUT_DEFENCES.look_up(name, "answer")
    if isinstance(defence, OutputDefence):
        return type(defence), defence.model_dump()
    if isinstance(defence, type) and issubclass(defence, OutputDefence):
        return defence, {}
    raise OUTPUT_DEFENCES.unknown(name, "answer")


def _make(study: OutputDefenceConfig) -> OutputDefence:
    defence, brought = find_output_defence(study.name)
    parameters = brought | {key: value for key, value in study.model_dump().items() if key != "name"}
    try:
        return defence.model_validate(parameters)
    except ValidationError as error:
        raise unusable_parameter(error, "output defence", study.name, defence.model_fields, "answer") from None
