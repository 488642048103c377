"""From a study to all that is needed to carry it out: records with roles, a model to train, the jobs."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memberwise._version import __version__
from memberwise.assess import Asking
from memberwise.data import Dataset, Roles, Wants, assign_roles, check_dataset, duplicates, encode, load
from memberwise.defences.output import output_defences
from memberwise.defences.training import defence_notes, defended, find_defence, training_defence
from memberwise.errors import StudyError
from memberwise.models.build import Model, build_model, model_of
from memberwise.seeds import Seeds
from memberwise.signals.collect import Asked, as_float
from memberwise.signals.collectors import collectors
from memberwise.signals.knowledge import read_transfer
from memberwise.signals.views import query_views
from memberwise.study import PlanStudy, Study
from memberwise.targets.files import check_target_file, load_target
from memberwise.training.answering import Answering, EstimatorModels, TorchModels
from memberwise.training.augment import FOR_TABLES
from memberwise.training.engines import Engine, ProcessEngine, StackEngine
from memberwise.training.job import Job
from memberwise.training.network import Network
from memberwise.training.plan import Plan, choose_device, cores, make_plan
from memberwise.training.recipe import Recipe
from memberwise.training.tensors import DataTensors
from memberwise.worst_case import for_worst_case

# Accuracy of shadow models is measured on this many test and background records at most.
SAMPLE = 2_000
# Estimators per block: enough to keep the processes busy, few enough to lose little when killed.
ESTIMATORS_PER_PROCESS = 4
Note = tuple[str, str]


@dataclass(frozen=True)
class Given:
    """Objects that Python code hands over in place of names: data, roles' rows, a model, a target, saved answers."""

    dataset: Dataset | None = None
    rows: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    target: Any = None
    outputs: dict[str, NDArray[Any]] | None = None
    shadow_outputs: dict[str, NDArray[Any]] | None = None


@dataclass(frozen=True)
class Prepared:
    """All that is needed to train and ask the target and the shadow models.

    Attributes:
        asked: what the target is asked; the shadow models are asked ``asked_of_shadows`` (smaller test sample).
        target: the trained target, where it is given; ``target_hash`` identifies it.
        shadow_job: the job of the k-th shadow model.
        identity: what every block depends on beside its jobs.
    """

    study: Study
    seeds: Seeds
    dataset: Dataset
    roles: Roles
    model: Model
    engine: Engine
    plan: Plan
    target_job: Job
    shadow_job: Callable[[int], Job]
    asked: Asked
    asked_of_shadows: Asked
    target: Answering | None
    target_hash: str | None
    identity: dict[str, Any]
    notes: list[Note]


def prepare(study: Study, given: Given, plan: PlanStudy | None = None) -> Prepared:
    """Read the data, give every record its role, build the model and the jobs. Nothing is trained or written.

    Args:
        plan: the plan of the run folder that is continued; the study's own keys come first.
    """
    seeds = Seeds(study.run.seed)
    study = defended(study)
    if study.target.file is not None:
        check_target_file(Path(study.target.file))
    if study.attacks.transfer is not None:
        read_transfer(Path(study.attacks.transfer))
    dataset, roles, notes = _records(study, given, seeds)
    model = _model(study, given, dataset)
    device = choose_device(study.run.device)
    _check_recipe(study, model, dataset, roles)
    _check_defence(study, model, roles)
    target_job = _target_job(study, dataset, roles, seeds)
    engine, made, more = _engine(study, plan, model, dataset, device, target_job)

    def shadow_job(k: int) -> Job:
        rows = roles.shadow_rows(k, seeds, study.shadow.data)
        return replace(target_job, rows=rows, seed=seeds.integer("shadow", k))

    notes += more + _check_sizes(study, roles, target_job, [shadow_job(k) for k in (0, 1)])
    asked, asked_of_shadows = _asked(study, dataset, roles, seeds)
    target, target_hash = _target(study, given, engine, asked)
    return Prepared(
        study,
        seeds,
        dataset,
        roles,
        model,
        engine,
        made,
        target_job,
        shadow_job,
        asked,
        asked_of_shadows,
        target,
        target_hash,
        _identity(study, dataset, roles, model, made, device),
        notes,
    )


def _records(study: Study, given: Given, seeds: Seeds) -> tuple[Dataset, Roles, list[Note]]:
    where = study.data
    dataset = given.dataset or load(where.source, label=where.label, group=where.group, unit=where.unit)
    names = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")
    wants = {name: getattr(where, name) for name in names} | {"train_rows": study.target.train_rows} | given.rows
    if (study.target.file is not None or given.target is not None) and wants["train_rows"] is None:
        raise StudyError(
            "a trained target needs the rows it was trained on",
            where="target.train_rows",
            fix="--train-rows FILE with all row numbers it saw (.txt or .npy)",
        )
    if wants["train_rows"] is not None and study.target.file is None and given.target is None:
        raise StudyError("training rows without a trained target", where="target.train_rows", fix="--target FILE")
    dataset, roles = assign_roles(dataset, Wants(**wants), seeds)
    dataset, roles = for_worst_case(study, wants, dataset, roles, seeds)
    dataset = encode(dataset, roles.fit_rows)
    check_dataset(dataset)
    notes = [*roles.caveats, *duplicates(dataset, roles.members, roles.nonmembers)]
    if roles.units is not None and len(np.unique(roles.units[roles.audited])) < len(roles.audited):
        whose = len(np.unique(roles.units[roles.audited]))
        notes.append(
            (
                "one-record-of-each-unit",
                f"{whose:,} of {len(roles.audited):,} audited records are evaluated, one of each {where.unit}: "
                "records of one unit are not independent, and intervals over all of them would be too narrow",
            )
        )
    if dataset.frame is not None and wants["train_rows"] is not None:
        notes.append(
            (
                "target-encoding",
                "the table's columns were encoded here, not as the target's owner did: if the target's accuracy below "
                "is not the one you know, give the records as the target takes them (.npz, or module:function)",
            )
        )
    return dataset, roles, notes


def _model(study: Study, given: Given, dataset: Dataset) -> Model:
    classes = len(dataset.classes)
    if given.model is not None and not isinstance(given.model, str):
        name = getattr(given.model, "__name__", type(given.model).__name__)
        return model_of(given.model, study.model, dataset.shape, classes, name)
    return build_model(study.model, dataset.shape, classes)


def _check_recipe(study: Study, model: Model, dataset: Dataset, roles: Roles) -> None:
    """Refuse what the recipe asks of this model, these records or these roles in vain."""
    training = study.training
    if model.kind != "module" and (training.augment or training.patience):
        raise StudyError(
            "augmentation and early stopping are for networks that are trained here",
            found=f"{model.name}, which trains by its own rules",
            where="training.augment" if training.augment else "training.patience",
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


def _target_job(study: Study, dataset: Dataset, roles: Roles, seeds: Seeds) -> Job:
    """How the target is trained; a shadow model's job differs in its rows and its seed alone."""
    recipe, rows = Recipe.of(study.training), roles.target_rows
    step, procedure = training_defence(study.training, len(dataset.classes), len(rows))
    return Job(
        rows,
        step,
        recipe,
        seeds.integer("target"),
        validation=roles.validation if recipe.patience else None,
        reference=roles.reference if len(roles.reference) else None,
        procedure=procedure,
    )


def _engine(
    study: Study,
    plan: PlanStudy | None,
    model: Model,
    dataset: Dataset,
    device: torch.device,
    job: Job,
) -> tuple[Engine, Plan, list[Note]]:
    asked = study.plan.model_dump(exclude_none=True)
    wanted = PlanStudy.model_validate((plan.model_dump(exclude_none=True) if plan else {}) | asked)
    if model.kind != "module":
        threads = wanted.threads or cores()
        made = Plan(wanted.stack or threads * ESTIMATORS_PER_PROCESS, threads=threads, stacked=False)
        return ProcessEngine(model, as_float(dataset.x), dataset.y, len(dataset.classes), made), made, []
    network = Network(model.make, device)
    _check_fits(network, model, dataset)
    said = defence_notes(study.training, len(dataset.classes), len(job.rows), network.module)
    tensors = DataTensors.of(dataset.x, dataset.y, len(dataset.classes), device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work = float(len(job.rows)) * job.recipe.epochs * (1 + study.shadow.count)
        made = make_plan(wanted, network, tensors, job, work)
    notes = [("not-stacked", str(w.message)) for w in caught if "one by one" in str(w.message)]
    return StackEngine(network, tensors, made), made, said + notes


def _check_defence(study: Study, model: Model, roles: Roles) -> None:
    """Refuse a training defence that this model or these roles cannot have."""
    if study.training.defence is None:
        return
    defence, _ = find_defence(study.training.defence)
    if model.kind != "module" and (defence.step or defence.procedure):
        raise StudyError(
            f"{defence.name} trains networks",
            found=f"{model.name}, which trains by its own rules",
            where="training.defence",
        )
    for role in defence.roles:
        if not len(getattr(roles, role)):
            raise StudyError(
                f"{defence.name} needs {role} records",
                expected="records that nobody is audited on, the same for the target and the shadow models",
                where=f"data.{role}",
                fix=f"--{role} N|FILE, or data.{role} in the study",
            )


def _check_fits(network: Network, model: Model, dataset: Dataset) -> None:
    """The module takes the records and answers as many classes as there are.

    Raises:
        StudyError: it does not.
    """
    classes, example = len(dataset.classes), torch.from_numpy(as_float(dataset.x[:2])).to(network.device)
    params, buffers = network.init(0)
    try:
        with torch.no_grad():
            shape = tuple(network(params, buffers, example, None)[0].shape)
    except Exception as error:
        raise StudyError(
            f"the model {model.name} does not take the records",
            expected=f"float32 records of shape {dataset.shape}, in batches",
            found=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            where="model.name",
            fix="a function that makes the model may take shape (of one record) and classes as arguments",
        ) from error
    if shape != (len(example), classes):
        raise StudyError(
            f"the model {model.name} does not answer as the data have classes",
            expected=f"logits of shape (records, {classes})",
            found=str(shape),
            where="model.name",
            fix="a function that makes the model may take classes as an argument",
        )


def _check_sizes(study: Study, roles: Roles, target: Job, shadows: Sequence[Job]) -> list[Note]:
    """A shadow trains on as many records as the target, or the study is refused."""
    sizes = {len(job.rows) for job in shadows}
    off = max((abs(size - len(target.rows)) for size in sizes), default=0)
    if off <= roles.slack or study.data.coins:  # coins are even in the mean only
        return []
    message = (
        f"the target trains on {len(target.rows):,} records, shadow models on {', '.join(map(str, sorted(sizes)))}"
    )
    if not study.shadow.allow_size_mismatch:
        raise StudyError(
            "shadow models would not train on as many records as the target",
            expected=f"{len(target.rows):,} records each",
            found=message,
            fix="give as many non-members as members (the rest of the target's rows as background), "
            "or --allow-size-mismatch",
        )
    return [("size-mismatch", f"{message}: attacks by unlike shadow models look weaker than they are")]


def _asked(study: Study, dataset: Dataset, roles: Roles, seeds: Seeds) -> tuple[Asked, Asked]:
    if study.queries != "none" and dataset.kind != "image":
        raise StudyError("queries are for images", found=f"records of shape {dataset.shape}", where="queries")
    query_views(study.queries)
    own = np.concatenate([roles.background, roles.auxiliary])
    sample = np.sort(seeds.rng("background sample").permutation(own)[:SAMPLE])
    asked = Asked(
        dataset.x,
        dataset.y,
        len(dataset.classes),
        roles.audited,
        roles.population,
        roles.test,
        sample,
        len(own) / max(1, len(sample)),
        study.queries,
        output_defences(study.answer),
        seeds.sequence("answer key").generate_state(8, np.uint32).tobytes(),
        roles.reference if len(roles.reference) else None,
        study.run.seed,
        collectors({attack.needs.extra for attack in Asking.of(study).attacks if attack.needs.extra}, study.attacks),
        roles.validation if len(roles.validation) else None,
    )
    test = np.sort(seeds.rng("test sample").permutation(roles.test)[:SAMPLE])
    return asked, replace(asked, test=test)


def _target(study: Study, given: Given, engine: Engine, asked: Asked) -> tuple[Answering | None, str | None]:
    """The trained target, where one is given, and a hash that notices when it was trained again."""
    example = asked.records(asked.audited[:64])
    if given.target is not None:
        target = _given_target(given.target, asked.classes)
        return target, hashlib.sha256(np.ascontiguousarray(target.ask(example)).tobytes()).hexdigest()
    if study.target.file is None:
        return None, None
    path = Path(study.target.file)
    network = engine.network if isinstance(engine, StackEngine) else None
    return load_target(path, network, asked.classes, example), hashlib.sha256(path.read_bytes()).hexdigest()


def _given_target(target: Any, classes: int) -> Answering:
    """A trained module or fitted estimator as something that answers."""
    if isinstance(target, torch.nn.Module):
        device = next((p.device for p in target.parameters()), torch.device("cpu"))
        network = Network(lambda: copy.deepcopy(target), device)
        params, buffers = network.init(0)
        return TorchModels(
            network, {k: v[None] for k, v in params.items()}, {k: v[None] for k, v in buffers.items()}, stacked=False
        )
    if hasattr(target, "predict") and hasattr(target, "classes_"):
        return EstimatorModels([target], classes)
    raise StudyError(
        "this is no trained target",
        expected="a trained nn.Module or a fitted scikit-learn classifier",
        found=type(target).__name__,
        fix="an unfitted model goes to model=",
    )


def _identity(
    study: Study, dataset: Dataset, roles: Roles, model: Model, plan: Plan, device: torch.device
) -> dict[str, Any]:
    def digest(rows: NDArray[np.int64]) -> str:
        return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()

    early = ("validation",) if len(roles.validation) else ()
    return {
        "version": __version__,
        "data": dataset.sha256,
        "features": hashlib.sha256(np.ascontiguousarray(dataset.x).tobytes()).hexdigest(),
        "roles": {
            name: digest(getattr(roles, name)) for name in ("audited", "population", "test", "background", *early)
        },
        "model": [model.name, model.kind, model.code, study.model.model_dump(mode="json")],
        "plan": vars(plan),
        "queries": study.queries,
        "answer": [answer.model_dump(mode="json") for answer in study.answer],
        "seed": study.run.seed,
        "device": device.type,
    }
