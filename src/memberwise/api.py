"""``memberwise.audit(...)`` and its like: the audit from Python, with objects in place of names and files."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from memberwise.attacks.base import Attack
from memberwise.attacks.own import check_own, study_name
from memberwise.attacks.registry import ATTACKS, GROUPS, is_built_in
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.prepare.inputs import rows_name
from memberwise.auditing.run import run_audit
from memberwise.data import Dataset, from_object
from memberwise.errors import StudyError
from memberwise.frontier.flow import Frontier, run_defend
from memberwise.report.result import Result
from memberwise.screening.flow import Screen, run_screen
from memberwise.signals.saved.files import saved_object
from memberwise.study.flags import FLAGS, ROLES, study_keys
from memberwise.study.reading import check_depth, choose_count, make_study, put, read_study
from memberwise.types.parts import Plain

WHERE = "memberwise.audit(...)"


def audit(
    study: str | Path | Mapping[str, object] | None = None,
    *,
    model: str | Callable[..., object] | object = None,
    data: object = None,
    label: str | Sequence[str] | None = None,
    group: str | None = None,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    members: object = None,
    nonmembers: object = None,
    background: object = None,
    population: object = None,
    reference: object = None,
    validation: object = None,
    auxiliary: object = None,
    target: object = None,
    train_rows: object = None,
    trust: Sequence[str] | None = None,
    endpoint: str | None = None,
    protocol: str | None = None,
    max_queries: int | None = None,
    policy: str | Path | None = None,
    outputs: str | Path | Mapping[str, object] | pd.DataFrame | Sequence[object] | None = None,
    shadow_outputs: str | Path | Mapping[str, object] | None = None,
    shadow_models: int | None = None,
    budget: str | None = None,
    engine: str | None = None,
    ray_address: str | None = None,
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    temperature: float | Literal["tuned"] | None = None,
    fpr: float | Sequence[float] | None = None,
    fail_if: str | Sequence[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    settings: Mapping[str, object] | None = None,
) -> Result:
    """Audit a model: how well can an attacker tell which records it was trained on?

    Args:
        study: a TOML file or nested values to begin from; the other arguments go on top.
        model: architecture's name, entry point, function that makes a fresh ``nn.Module``, unfitted scikit-learn
            classifier, or ``train(x, y, seed) -> predict``. Trained for the target and for every shadow model.
        data: source's name, file, ``(x, y)``, dict of arrays or DataFrame (with ``label``).
        label, group, unit: columns of a table (label: several for binary labels that a record may have together).
            features: columns that alone are features; drop: columns that are none.
        members, nonmembers, ...: a count, row numbers, a mask, or a file (design, "Roles of records").
        target: a trained ``nn.Module``, fitted classifier or model file; a function ``x -> (n, classes)``, which is
            called with ``(n, ...)`` float32 records and answers logits or probabilities (which is told by its answers);
            any object with ``predict_proba`` or ``predict``; or a ``memberwise.targets.base.Target`` of your own. Then
            ``train_rows`` are all rows it saw. trust: types of a .skops file that may be loaded, by their names.
        endpoint: a served model instead, with ``train_rows``: its address, asked by the protocol "v2", "v1" or
            "mlflow", or "custom" and ``file.py:ask``. max_queries: about so many records at most. policy: the
            server's policy (TOML), by which shadow models answer too. Further keys are in docs/endpoints.md.
        outputs, shadow_outputs: saved answers, as files or dicts of arrays (the first also as a DataFrame, or a pair:
            answers about members and about non-members); no model is needed then.
        shadow_models: how many; even. More make the attacks stronger. budget: as many as fit a time ("5m") instead.
        engine: where shadow models train: "local", "ray" (ray_address: "auto", "ray://HOST:PORT"; none: a Ray of this
            machine) or "slurm"; docs/cluster.md.
        attacks: names, "default", "all", ``file.py:ATTACK``, or attacks themselves (``memberwise.attacks.Attack``).
        temperature: at which ``base``, ``informia`` and ``rmia-*`` read p_y: 2, another number, or "tuned".
        fpr: false-positive rates. fail_if: gate rules.
        seed, out, resume: as on the command line; without ``out`` nothing is kept on disk.
        settings: any other study keys, dotted: ``{"training.epochs": 40}``.

    Returns:
        The result: ``result.tpr(at_fpr=0.01)``, ``result.auc()``, ``result.scores``, ``result.to_html(path)``.

    Raises:
        MemberwiseError: bad input (``StudyError``, ``DataError``, ``TargetError``), before anything is trained.
    """
    values, inputs = _translated(
        study,
        model=model,
        data=data,
        attacks=attacks,
        columns={"label": label, "group": group, "unit": unit},
        roles=dict(
            zip(
                (*ROLES, "train_rows"),
                (members, nonmembers, background, population, reference, validation, auxiliary, train_rows),
                strict=True,
            )
        ),
        target=target,
        saved={"outputs": outputs, "shadow_outputs": shadow_outputs},
        plain=_study_keys(
            features=features,
            drop=drop,
            shadow_models=shadow_models,
            budget=budget,
            engine=engine,
            ray_address=ray_address,
            temperature=temperature,
            fpr=fpr,
            fail_if=([fail_if] if isinstance(fail_if, str) else list(fail_if)) or None,
            seed=seed,
            trust=trust,
            endpoint=endpoint,
            protocol=protocol,
            max_queries=max_queries,
            policy=None if policy is None else str(policy),
        )
        | dict(settings or {}),
    )
    if out is not None:
        put(values, "run.out", str(out))
        return run_audit(make_study(values, WHERE), inputs, resume=resume)
    with tempfile.TemporaryDirectory(prefix="memberwise-") as folder:
        put(values, "run.out", folder)
        return replace(run_audit(make_study(values, WHERE), inputs), folder=None)


def defend(
    study: str | Path | Mapping[str, object] | None = None,
    *,
    out: str | Path,
    defences: Sequence[str] = ("default",),
    points: Sequence[Mapping[str, object]] = (),
    max_accuracy_loss: float | None = None,
    max_tpr: str | None = None,
    model: str | Callable[..., object] | object = None,
    data: object = None,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    shadow_models: int | None = None,
    engine: str | None = None,
    ray_address: str | None = None,
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    seed: int | None = None,
    settings: Mapping[str, object] | None = None,
    **roles: object,
) -> Frontier:
    """Compare defences: each is trained over its grid and attacked by shadow models that went through it too.

    Args:
        study, model, data, label, group, unit, features, drop, shadow_models, engine, ray_address, attacks, seed,
            settings: as ``audit`` has them.
        roles: ``members``, ``nonmembers``, ``validation``, ``reference`` and the other roles, as for ``audit``.
        out: folder of the frontier; the same call again continues there.
        defences: names, "default" or "all"; ``file.py:name`` for your own. points: further points, ``{"name": ...}``
            with parameters.
        max_accuracy_loss, max_tpr: the constraint under which one is recommended: 0.01, or "0.05@0.01".

    Raises:
        MemberwiseError: bad input, before anything is trained.
    """
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise TypeError(f"defend() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    values, inputs = _translated(
        study,
        model=model,
        data=data,
        attacks=attacks,
        columns={"label": label, "group": group, "unit": unit},
        roles=roles,
        plain=_study_keys(
            features=features,
            drop=drop,
            shadow_models=shadow_models,
            engine=engine,
            ray_address=ray_address,
            defences=tuple(defences),
            points=[dict(point) for point in points],
            max_accuracy_loss=max_accuracy_loss,
            max_tpr=max_tpr,
            seed=seed,
            out=str(out),
        )
        | dict(settings or {}),
    )
    return run_defend(make_study(values, "memberwise.defend(...)"), inputs)


def screen(
    study: str | Path | Mapping[str, object] | None = None,
    *,
    model: str | Callable[..., object] | object = None,
    data: object = None,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    target: object = None,
    train_rows: object = None,
    outputs: str | Path | Mapping[str, object] | pd.DataFrame | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    settings: Mapping[str, object] | None = None,
    **roles: object,
) -> Screen:
    """Who is probably at risk, before anything is trained twice: the target is trained once and no shadow model.

    Args:
        study, model, data, label, group, unit, features, drop, target, train_rows, outputs, seed, out, resume,
            settings: as ``audit`` has them. An audit with the same ``out`` goes on with the same target.
        roles: ``members``, ``nonmembers`` and the other roles, as for ``audit``.

    Returns:
        The screen: ``screen.table`` (a row a record, the most at risk first), ``screen.parts.advice``,
        ``screen.parts.trust``, ``screen.to_json()``.

    Raises:
        MemberwiseError: bad input (``StudyError``, ``DataError``, ``TargetError``), before anything is trained.
    """
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise TypeError(f"screen() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    values, inputs = _translated(
        study,
        model=model,
        data=data,
        columns={"label": label, "group": group, "unit": unit},
        roles={**roles, "train_rows": train_rows},
        target=target,
        saved={"outputs": outputs, "shadow_outputs": None},
        plain=_study_keys(features=features, drop=drop, seed=seed) | dict(settings or {}),
    )
    if out is not None:
        put(values, "run.out", str(out))
        return run_screen(make_study(values, "memberwise.screen(...)"), inputs, resume=resume)
    with tempfile.TemporaryDirectory(prefix="memberwise-") as folder:
        put(values, "run.out", folder)
        return replace(run_screen(make_study(values, "memberwise.screen(...)"), inputs), folder=None)


def _study_keys(**arguments: object) -> dict[str, object]:
    """The study keys that these arguments set; one name may stand for a list."""
    return study_keys(arguments, {"names": lambda names: [names] if isinstance(names, str) else list(map(str, names))})


def _named_attacks(attacks: Iterable[object]) -> tuple[list[object], tuple[Attack, ...]]:
    """What a study calls these attacks, and those of them that are objects of the user's own."""
    names: list[object] = []
    objects: list[Attack] = []
    for attack in attacks:
        if isinstance(attack, str):
            names.append(attack)
        elif isinstance(attack, Attack) and is_built_in(attack):
            names.append(attack.name)
        else:
            place = f"the object {attack.name}" if isinstance(attack, Attack) else repr(attack)
            objects.append(check_own(attack, place, {*ATTACKS, *GROUPS}))
            names.append(study_name(objects[-1]))
    return names, tuple(objects)


def _translated(
    study: str | Path | Mapping[str, Any] | None,
    *,
    model: Any,
    data: Any,
    columns: Mapping[str, str | Sequence[str] | None],
    roles: Mapping[str, Any],
    plain: Mapping[str, Any],
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    target: Any = None,
    saved: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Plain, Inputs]:
    """A study's nested values, and the objects that stand behind some of its names."""
    values: Plain = {}
    columns_named = {name: None if column is None else _names(column) for name, column in columns.items()}
    if study is not None:
        check_depth(study, WHERE)
        values = copy.deepcopy(dict(study)) if isinstance(study, Mapping) else read_study(study)
    if saved.get("outputs") is not None and any(thing is not None for thing in (data, model, target)):
        raise StudyError("saved answers are audited without data, model or target", where=WHERE)
    inputs = Inputs()
    for name, want in roles.items():
        if want is None:
            continue
        if not isinstance(want, (int, str, Path)):
            inputs = replace(inputs, rows={**inputs.rows, name: np.asarray(want)})
            want = rows_name(inputs.rows[name])
        put(values, FLAGS[name].key, want if isinstance(want, int) else str(want))
    if data is not None and not isinstance(data, (str, Path)):
        in_study = dict(values["data"]) if isinstance(values.get("data"), Mapping) else {}
        named = {name: in_study.get(name) if column is None else column for name, column in columns_named.items()}
        dataset = data if isinstance(data, Dataset) else from_object(data, source="data", **named)
        inputs = replace(inputs, dataset=dataset)
        put(values, "data.source", f"data-{dataset.sha256[:12]}")
    elif data is not None:
        put(values, "data.source", str(data))
    if model is not None and not isinstance(model, str):
        inputs = replace(inputs, model=model)
        put(values, "model.name", getattr(model, "__name__", type(model).__name__))
    elif model is not None:
        put(values, "model.name", model)
    if isinstance(target, type):
        raise StudyError(
            "this is no trained target",
            expected="an object that is made and trained",
            found=f"the class {target.__name__}",
            where="target",
            fix=f"{target.__name__}(...), trained; an unfitted model goes to model=",
        )
    if isinstance(target, (str, Path)):
        put(values, "target.file", str(target))
    elif target is not None:
        inputs = replace(inputs, target=target)
    for name, answers in saved.items():
        key = FLAGS[name].key
        if isinstance(answers, (tuple, list)) and all(isinstance(side, (str, Path)) for side in answers):
            answers = ",".join(map(str, answers))
        if isinstance(answers, (str, Path)):
            put(values, key, str(answers))
        elif answers is not None:
            inputs = replace(inputs, **{name: saved_object(answers, name)})  # type: ignore[arg-type]
            put(values, key, name)
    if attacks is not None:
        names, objects = _named_attacks(
            attacks if isinstance(attacks, Iterable) and not isinstance(attacks, str) else [attacks]
        )
        inputs = replace(inputs, attacks=objects)
        put(values, "attacks.use", names)
    choose_count(values, plain.get("shadow.count"), plain.get("shadow.budget"))
    for key, value in {**{f"data.{name}": column for name, column in columns_named.items()}, **plain}.items():
        if value is not None:
            put(values, key, value)
    return values, inputs


def _names(columns: object) -> str:
    """A column, or several with commas between."""
    return ",".join(map(str, columns)) if isinstance(columns, (list, tuple)) else str(columns)
