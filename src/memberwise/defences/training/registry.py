"""Training defences: ways to train a model that gives less away. One file each, one line here."""

from __future__ import annotations

from pydantic import ValidationError
from torch import nn

from memberwise.defences.output.registry import is_bounded
from memberwise.defences.parameters import unusable_parameter
from memberwise.defences.training import (
    adversarial_regularisation,
    adversarial_training,
    augmentation,
    ccl,
    condensation,
    confidence_penalty,
    distillation,
    dp_sgd,
    dropout,
    early_stopping,
    hamp,
    l1,
    l2,
    label_smoothing,
    logit_clipping,
    mist,
    mixup,
    mixup_mmd,
    pac,
    pate,
    relaxloss,
    selena,
    weighted_smoothing,
)
from memberwise.defences.training.base import Fit, TrainingDefence
from memberwise.errors import Note, StudyError
from memberwise.registry import Registry, instance_of
from memberwise.study.reading import make_study, put
from memberwise.study.schema import DefenceConfig, Study, TrainingConfig
from memberwise.training.job import Procedure
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step

_BUILT_IN = [
    l2.DEFENCE,
    l1.DEFENCE,
    dropout.DEFENCE,
    early_stopping.DEFENCE,
    confidence_penalty.DEFENCE,
    augmentation.DEFENCE,
    mixup.DEFENCE,
    logit_clipping.DEFENCE,
    weighted_smoothing.DEFENCE,
    relaxloss.DEFENCE,
    hamp.DEFENCE,
    ccl.DEFENCE,
    dp_sgd.DEFENCE,
    adversarial_regularisation.DEFENCE,
    selena.DEFENCE,
    distillation.DEFENCE,
    distillation.DMP,
    condensation.DEFENCE,
    mixup_mmd.DEFENCE,
    mist.DEFENCE,
    label_smoothing.DEFENCE,
    adversarial_training.DEFENCE,
    pac.DEFENCE,
    pate.DEFENCE,
]
TRAINING_DEFENCES: Registry[TrainingDefence] = Registry(
    "training defence",
    ((defence.name, defence) for defence in _BUILT_IN),
    fits=instance_of(TrainingDefence),
    kinds=(TrainingDefence,),
    form="file.py:name of a TrainingDefence",
    group="memberwise.training_defences",
    otherwise="memberwise list defences shows them",
)


def find_defence(study: DefenceConfig) -> tuple[TrainingDefence, object]:
    """The training defence a study names (built in, or the user's own ``file.py:name``), and its options.

    Raises:
        StudyError: an unknown name or parameter.
    """
    defence = TRAINING_DEFENCES.find(study.name, "training.defence")
    parameters = {key: value for key, value in study.model_dump().items() if key != "name"}
    try:
        return defence, defence.options.model_validate(parameters)
    except ValidationError as error:
        known = defence.options.model_fields
        raise unusable_parameter(error, "training defence", study.name, known, "training.defence") from None


def write_out_defence(study: Study) -> Study:
    """The study with what its training defence sets (recipe, model, output defences) written out.

    A study that is written out already stays as it is, as a run that is resumed begins from one.
    """
    if study.training.defence is None:
        return study
    defence, options = find_defence(study.training.defence)
    values = study.to_dict()
    for key, value in (defence.settings(options, values) if defence.settings else {}).items():
        put(values, key, value)
    belonging = defence.answer(options) if defence.answer else []
    if values["answer"][: len(belonging)] != belonging:
        values["answer"] = [*belonging, *values["answer"]]
    return make_study(values, f"training.defence = {defence.name}")


def refuse_lone_bound(study: Study) -> None:
    """Refuse, before anything is trained, an output defence of ensembles where one model would be trained or is given.

    Raises:
        StudyError: its training defence is missing, or other output defences stand before it.
    """
    bounded = [one.name for one in study.answer if is_bounded(one)]
    if not bounded:
        return
    answers: list[object] = []
    if study.training.defence is not None:
        defence, options = find_defence(study.training.defence)
        answers = [one["name"] for one in (defence.answer(options) if defence.answer else [])]
    if study.target.file is None and len(bounded) == 1 and bounded[0] in answers and study.answer[0].name == bounded[0]:
        return
    raise StudyError(
        f"{bounded[0]} answers from an ensemble, once and before every other output defence",
        expected="the training defence that releases the ensemble and brings this output defence along",
        found=f"the target {study.target.file}"
        if study.target.file
        else f"training.defence = {answers or None}, answer = {[one.name for one in study.answer]}",
        where="answer",
        fix=f"training.defence={bounded[0]}, with its parameters there, and {bounded[0]} left out of answer",
    )


def training_defence(
    study: TrainingConfig, classes: int, rows: int, shape: tuple[int, ...]
) -> tuple[Step, Procedure | None]:
    """The step, and the procedure if there is one, by which a study's models are trained."""
    plain = Step(study.label_smoothing)
    if study.defence is None:
        return plain, None
    defence, options = find_defence(study.defence)
    fit = Fit(classes, rows, Recipe.of(study), study.label_smoothing, shape)
    step = defence.step(options, fit) if defence.step else plain
    return step, defence.procedure(options, fit) if defence.procedure else None


def defence_notes(
    study: TrainingConfig, classes: int, rows: int, shape: tuple[int, ...], module: nn.Module
) -> list[Note]:
    """What the report must say about the training defence, as (code, message).

    Raises:
        StudyError: the defence cannot have this module or this recipe.
    """
    if study.defence is None:
        return []
    defence, options = find_defence(study.defence)
    fit = Fit(classes, rows, Recipe.of(study), study.label_smoothing, shape)
    return defence.check(options, fit, module) if defence.check else []


def guaranteed(study: TrainingConfig, rows: int) -> tuple[float, float] | None:
    """The epsilon and delta that the training defence promises for models of so many records, or None."""
    if study.defence is None:
        return None
    defence, options = find_defence(study.defence)
    return defence.bound(options, Fit(0, rows, Recipe.of(study), study.label_smoothing)) if defence.bound else None
