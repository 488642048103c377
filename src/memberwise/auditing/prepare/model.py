"""The model of a study, what is refused for it, and what trains it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memberwise.auditing.prepare.forms import Representation
from memberwise.auditing.prepare.inputs import Inputs
from memberwise.auditing.prepare.label_sets import check_label_sets
from memberwise.data import Dataset, Roles
from memberwise.data.dataset import as_float
from memberwise.data.labels import ClassLabels
from memberwise.data.layout import Layout
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.training.registry import defence_notes, find_defence
from memberwise.errors import Note, StudyError
from memberwise.models.adapting import adapted_model
from memberwise.models.build import Model, build_model, model_of
from memberwise.models.ending import ending_notes, with_ending
from memberwise.models.network import Network
from memberwise.models.one_logit import widened_model
from memberwise.models.threads import cores
from memberwise.study.models import TARGETS_OWN
from memberwise.study.schema import PlanConfig, Study
from memberwise.targets.boosters import unfitted
from memberwise.training.augment import FOR_TABLES
from memberwise.training.equality import examined, why_general
from memberwise.training.job import Job
from memberwise.training.plan import Plan, PlanChoice
from memberwise.training.planning import make_plan
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.base import GENERAL_PATH, Trainer
from memberwise.training.trainers.processes import ProcessTrainer
from memberwise.training.trainers.stack import StackTrainer
from memberwise.types.foreign import Estimator

# Estimators per block: enough to keep the processes busy, few enough to lose little when killed.
ESTIMATORS_PER_PROCESS = 4
# Of a booster's parameters, those that are said.
TOLD = ("n_estimators", "max_depth", "num_leaves", "learning_rate", "min_child_samples")
# Records by which it is told whether a module ends in a softmax.
EXAMPLES = 64


def model_for(study: Study, inputs: Inputs, dataset: Dataset, fitted: Estimator | None = None) -> Model:
    """The model of a study or of Python code, which takes the records as they are.

    Args:
        fitted: the target, where it is a fitted estimator; the model called "target" is trained as it was.

    Raises:
        StudyError: it is no model, or none for records of several inputs.
    """
    model = named_model(study, inputs, dataset, fitted)
    model = adapted_model(model, dataset.layout, as_float(dataset.x[:2]))
    two = len(dataset.outputs) == 2 and dataset.label_sets is None
    return widened_model(model, as_float(dataset.x[:EXAMPLES])) if two else model


def named_model(study: Study, inputs: Inputs, dataset: Dataset, fitted: Estimator | None = None) -> Model:
    """The model as it is written, which is not built yet: the records of ``dataset`` need not be encoded.

    Raises:
        StudyError: it is no model.
    """
    classes = len(dataset.outputs)
    if inputs.model is not None and not isinstance(inputs.model, str):
        name = getattr(inputs.model, "__name__", type(inputs.model).__name__)
        return model_of(inputs.model, study.model, dataset.shape, classes, name)
    if study.model.name == TARGETS_OWN:
        return _as_the_target(study, dataset, inputs.target if fitted is None else fitted)
    return build_model(study.model, dataset.shape, classes)


def _as_the_target(study: Study, dataset: Dataset, target: Estimator | None) -> Model:
    """Unfitted estimators with the fitted target's own parameters.

    Raises:
        StudyError: the target is none that could be trained again.
    """
    if target is None or not hasattr(target, "get_params"):
        raise StudyError(
            "shadow models can be trained as the target was only where it is a fitted scikit-learn estimator",
            where="model.name",
            fix="say how they are trained: --model",
        )
    again = unfitted(target)
    return model_of(again, study.model, dataset.shape, len(dataset.outputs), type(again).__name__)


def told_notes(study: Study, fitted: Estimator | None) -> list[Note]:
    """What a booster's own file does not tell of how it was trained."""
    recipe = getattr(fitted, "told_", None)
    if study.model.name != TARGETS_OWN or recipe is None:
        return []
    parameters = recipe.get_params()
    words = ", ".join(f"{name}={parameters[name]:g}" for name in TOLD if parameters.get(name) is not None)
    message = (
        f"shadow models are trained anew as {type(recipe).__name__}({words}), by what the target's file tells; "
        "if it was trained by other parameters, name them: --model and model.options"
    )
    return [Note("target-parameters", message)]


def check_recipe(study: Study, model: Model, dataset: Dataset, roles: Roles) -> None:
    """Refuse what the recipe asks of this model, these records or these roles in vain."""
    training = study.training
    if dataset.label_sets is not None:
        check_label_sets(study, model, dataset)
    if model.kind != "module" and (training.augment or training.patience):
        raise StudyError(
            "augmentation and early stopping are for networks that are trained here",
            found=f"{model.name}, which trains by its own rules",
            where="training.augment" if training.augment else "training.patience",
        )
    if training.augment and model.takes is not None:
        raise StudyError(
            "augmentation mixes or moves numbers, and these records are no plain numbers",
            found=f"{model.name} is given {model.takes.words()}",
            where="training.augment",
        )
    unfit = [name for name in training.augment if dataset.kind != "image" and name not in FOR_TABLES]
    if unfit:
        raise StudyError(
            f"augmentation by {', '.join(unfit)} is for images",
            expected=f"{' or '.join(FOR_TABLES)}, or none, for tables",
            found=f"records of shape {dataset.shape}",
            where="training.augment",
        )
    if training.patience and not len(roles.validation):
        raise StudyError(
            "early stopping needs validation records",
            expected="records on which nobody trains, for the target and the shadow models alike",
            where="training.patience",
            fix="data.validation = 200, or --validation N|FILE",
        )


def check_defence_fits(
    study: Study, answer: Sequence[OutputDefence], model: Model, roles: Roles, of_target: Layout | None = None
) -> None:
    """Refuse defences, in training or in the answer, that this model or these roles cannot have.

    Args:
        of_target: as what a function that is the target takes records that are no plain numbers.
    """
    for defence_of_answers in answer:
        name, alters = type(defence_of_answers).__name__, defence_of_answers.alters_records
        _check_roles(name, defence_of_answers.roles, roles)
        _check_alters(name, alters, model.name, model.takes, "answer")
        _check_alters(name, alters, "the given target", of_target, "answer")
    if study.training.defence is None:
        return
    defence, _ = find_defence(study.training.defence)
    if model.kind != "module":
        raise StudyError(
            f"{defence.name} trains networks",
            found=f"{model.name}, which trains by its own rules",
            where="training.defence",
        )
    _check_roles(defence.name, defence.roles, roles)
    _check_alters(defence.name, defence.alters_records, model.name, model.takes, "training.defence")


def _check_alters(name: str, alters: bool, model: str, takes: Layout | None, where: str) -> None:
    if alters and takes is not None:
        raise StudyError(
            f"{name} changes the numbers of records, and these records are no plain numbers",
            found=f"{model} is given {takes.words()}",
            where=where,
        )


def _check_roles(name: str, needed: Sequence[str], roles: Roles) -> None:
    for role in needed:
        if not len(getattr(roles, role)):
            raise StudyError(
                f"{name} needs {role} records",
                expected="records that nobody is audited on, the same for the target and the shadow models",
                where=f"data.{role}",
                fix=f"--{role} N|FILE, or data.{role} in the study",
            )


@dataclass(frozen=True)
class Training:
    """What trains the models, by which plan, and what was noticed.

    Attributes:
        target_trainer: what trains the target; the plan is the shadow models'.
        network: as the models compute, for weights that are read from a file; None where they are no modules.
    """

    trainer: Trainer
    target_trainer: Trainer
    plan: Plan
    notes: list[Note]
    network: Network | None = None


def trainer_for(
    study: Study,
    plan: PlanConfig | None,
    model: Model,
    dataset: Dataset,
    device: torch.device,
    job: Job,
    data: Representation,
) -> Training:
    overrides = study.plan.model_dump(exclude_none=True)
    config = PlanConfig.model_validate((plan.model_dump(exclude_none=True) if plan else {}) | overrides)
    if model.kind != "module":
        threads = config.threads or cores()
        made = Plan(config.stack or threads * ESTIMATORS_PER_PROCESS, threads=threads, stacked=False)
        x = data.x if data.as_stored else as_float(data.x)
        labels = dataset.class_labels if dataset.label_sets is None else ClassLabels.of(dataset.outputs)
        processes = ProcessTrainer(model, x, dataset.answers_wanted, len(labels), made, labels, data.rows)
        return Training(processes, processes, made, [])
    network = Network(model.make, device)
    _check_fits(network, model, dataset)
    network = with_ending(network, torch.from_numpy(as_float(dataset.x[:EXAMPLES]).copy()).to(device))
    network.labels_apart = dataset.label_sets is not None
    remarks = defence_notes(study.training, len(dataset.outputs), len(job.rows), dataset.shape, network.module)
    tensors = DataTensors.of(dataset.x, dataset.y, len(dataset.outputs), device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work = float(len(job.rows)) * job.recipe.epochs * (1 + study.shadow.count)
        made = make_plan(config, network, tensors, job, work)
    notes = [Note("not-stacked", str(w.message)) for w in caught if "one by one" in str(w.message)]
    trainer = StackTrainer(network, tensors, made, PlanChoice(study.plan, work, study.run.device))
    examined(trainer.network, job, tensors, made.stacked, made.compile)
    general = why_general(trainer.network, job, tensors, made.stacked, made.compile)
    notes += [] if general is None else [Note(GENERAL_PATH, general)]
    of_target = StackTrainer(network, tensors, made.of_target())
    return Training(trainer, of_target, made, [*remarks, *notes, *ending_notes(model.name, network)], trainer.network)


def _check_fits(network: Network, model: Model, dataset: Dataset) -> None:
    """The module takes the records and answers as many classes as there are.

    Raises:
        StudyError: it does not.
    """
    classes, example = len(dataset.outputs), torch.from_numpy(as_float(dataset.x[:2]).copy()).to(network.device)
    try:
        params, buffers = network.init(0)
        with torch.no_grad():
            answer = network(params, buffers, example, None)[0]
    except Exception as error:
        raise StudyError(
            f"the model {model.name} does not take the records",
            expected=f"an argument of forward for each input, in batches: {dataset.layout.words()}"
            if dataset.layout is not None and dataset.several
            else f"float32 records of shape {dataset.shape}, in batches",
            found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where="model.name",
            fix="a function that makes the model may take shape (of one record) and classes as arguments",
        ) from error
    if not params:
        raise StudyError(f"the model {model.name} has no parameters to train", where="model.name")
    if not isinstance(answer, torch.Tensor):
        raise StudyError(
            f"the model {model.name} does not answer logits alone",
            expected=f"a tensor of shape (records, {classes})",
            found=f"a {type(answer).__name__}",
            where="model.name",
            fix="put it into a module whose forward returns the logits",
        )
    if (shape := tuple(answer.shape)) != (len(example), classes):
        raise StudyError(
            f"the model {model.name} does not answer as the data have classes",
            expected=f"logits of shape (records, {classes})",
            found=str(shape),
            where="model.name",
            fix="a function that makes the model may take classes as an argument",
        )
