"""``memberwise.audit(...)`` and its like: the audit from Python, with objects in place of names and files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd

from memberwise.attacks.base import Attack
from memberwise.auditing.arguments import study_and_inputs
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.run import run_audit
from memberwise.frontier.flow import Frontier, run_defend
from memberwise.report.result import Result
from memberwise.screening.flow import Screen, run_screen
from memberwise.study.flags import FLAGS, ROLES
from memberwise.study.reading import check_ray_address, make_study, put
from memberwise.study.schema import Study
from memberwise.types.parts import Plain

Kept = TypeVar("Kept", Result, Screen)
# Arguments that may be objects, and the folder.
OBJECTS = {*ROLES, "data", "label", "group", "unit", "model", "target", "train_rows", "outputs", "shadow_outputs"}
OBJECTS |= {"attacks", "out"}


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
    coins: bool | None = None,
    canaries: int | None = None,
    canary_kind: str | None = None,
    targets: int | None = None,
    turns: int | Literal["all", "none"] | None = None,
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
    cascade: int | None = None,
    allow_size_mismatch: bool | None = None,
    engine: str | None = None,
    ray_address: str | None = None,
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    temperature: float | Literal["tuned"] | None = None,
    fpr: float | Sequence[float] | None = None,
    fail_if: str | Sequence[str] = (),
    device: str | None = None,
    redact: bool | None = None,
    redact_scores: bool | None = None,
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
        members, nonmembers, ...: a count, row numbers, a mask, or a file (docs/formats.md, "Roles of records").
        coins: each membership in the target is a fair coin, which bounds epsilon. canaries: so many records made to be
            remembered are audited, of canary_kind "mislabelled", "out-of-distribution" or "near-duplicate".
        targets: so many models are audited in the target's place, one after the other. turns: shadow models that take
            its place for the recipe's figures: "all", "none" or how many.
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
            allow_size_mismatch: they may train on fewer records than the target. cascade: so many more, in rounds of
            four, each trained on what was found out of the target by then: the strongest attack (docs/cascade.md). 8
            where ``fail_if`` has a rule about the family, unless 0 is said; else none.
        engine: where shadow models train: "local", "ray" (ray_address: "auto", "ray://HOST:PORT"; none: a Ray of this
            machine) or "slurm"; docs/cluster.md.
        attacks: names, "default", "all", ``file.py:ATTACK``, or attacks themselves (``memberwise.attacks.Attack``).
        temperature: at which ``base``, ``informia`` and ``rmia-*`` read p_y: 2, another number, or "tuned".
        fpr: false-positive rates. fail_if: gate rules.
        device: "auto", "cpu" or "cuda". redact: single records are left out of all files but scores.csv; redact_scores:
            and row numbers and labels out of that.
        seed, out, resume: as on the command line; without ``out`` nothing is kept on disk.
        settings: any other study keys, dotted: ``{"training.epochs": 40}``.

    Returns:
        The result: ``result.tpr(at_fpr=0.01)``, ``result.auc()``, ``result.scores``, ``result.to_html(path)``.

    Raises:
        MemberwiseError: bad input (``StudyError``, ``DataError``, ``TargetError``), before anything is trained.

    Examples:
        Saved answers, surer about the records that the model was trained on:

        >>> import numpy as np
        >>> import memberwise as mw
        >>> rng = np.random.default_rng(0)
        >>> labels, member = rng.integers(0, 2, 400), np.arange(400) % 2
        >>> logits = rng.normal(size=(400, 2))
        >>> logits[np.arange(400), labels] += 2 * member
        >>> result = mw.audit(outputs={"logits": logits, "labels": labels, "member": member})
        >>> result.auc("loss").low > 0.5
        True
    """
    arguments, where = locals(), "memberwise.audit(...)"
    values, inputs = study_and_inputs(
        study,
        where,
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
        flags=_flags(arguments)
        | {
            "fail_if": ([fail_if] if isinstance(fail_if, str) else list(fail_if)) or None,
            "policy": None if policy is None else str(policy),
        },
        settings=settings,
    )
    return _carried_out(run_audit, values, inputs, where, out, resume, ray_address)


def defend(
    study: str | Path | Mapping[str, object] | None = None,
    *,
    out: str | Path,
    defences: Sequence[str] = ("default",),
    points: Sequence[Mapping[str, object]] = (),
    max_accuracy_loss: float | None = None,
    max_tpr: str | None = None,
    canaries: int | None = None,
    model: str | Callable[..., object] | object = None,
    data: object = None,
    label: str | None = None,
    group: str | None = None,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    shadow_models: int | None = None,
    cascade: int | None = None,
    engine: str | None = None,
    ray_address: str | None = None,
    attacks: str | Attack | Sequence[str | Attack] | None = None,
    temperature: float | Literal["tuned"] | None = None,
    fpr: float | Sequence[float] | None = None,
    device: str | None = None,
    redact: bool | None = None,
    redact_scores: bool | None = None,
    seed: int | None = None,
    settings: Mapping[str, object] | None = None,
    **roles: object,
) -> Frontier:
    """Compare defences: each is trained over its grid and attacked by shadow models that went through it too.

    Args:
        study, model, data, label, group, unit, ...: as ``audit`` has them, and so the other arguments of its names.
        roles: ``members``, ``nonmembers``, ``validation``, ``reference`` and the other roles, as for ``audit``.
        out: folder of the frontier; the same call again continues there.
        defences: names, "default" or "all"; ``file.py:name`` for your own. points: further points, ``{"name": ...}``
            with parameters.
        max_accuracy_loss, max_tpr: the constraint under which one is recommended: 0.01, or "0.05@0.01".
        canaries: so many are audited at each point, too.

    Raises:
        MemberwiseError: bad input, before anything is trained.

    Examples:
        >>> import memberwise as mw
        >>> recipe = {"training.epochs": 2, "model.hidden": [8]}
        >>> sizes = {"members": 60, "nonmembers": 60, "validation": 40, "shadow_models": 2}
        >>> chosen = {"defences": ["rounding"], "attacks": ["loss"], "settings": recipe, "max_accuracy_loss": 0.1}
        >>> frontier = mw.defend(data="digits", out="runs/frontier", **chosen, **sizes)
        >>> (frontier.folder / "frontier.html").exists()
        True
    """
    arguments, where = locals(), "memberwise.defend(...)"
    _refuse_unknown("defend", roles)
    values, inputs = study_and_inputs(
        study,
        where,
        model=model,
        data=data,
        attacks=attacks,
        columns={"label": label, "group": group, "unit": unit},
        roles=roles,
        flags=_flags(arguments)
        | {"defences": tuple(defences), "points": [dict(point) for point in points], "out": str(out)},
        settings=settings,
    )
    return run_defend(_study(values, where, ray_address), inputs)


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
    device: str | None = None,
    redact: bool | None = None,
    redact_scores: bool | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    settings: Mapping[str, object] | None = None,
    **roles: object,
) -> Screen:
    """Who is probably at risk, before anything is trained twice: the target is trained once and no shadow model.

    Args:
        study, model, data, label, group, unit, ...: as ``audit`` has them, and so the other arguments of its names. An
            audit with the same ``out`` goes on with the same target.
        roles: ``members``, ``nonmembers`` and the other roles, as for ``audit``.

    Returns:
        The screen: ``screen.table`` (a row a record, the most at risk first), ``screen.parts.advice``,
        ``screen.parts.trust``, ``screen.to_json()``.

    Raises:
        MemberwiseError: bad input (``StudyError``, ``DataError``, ``TargetError``), before anything is trained.

    Examples:
        >>> import memberwise as mw
        >>> recipe = {"training.epochs": 8, "model.hidden": [8]}
        >>> screen = mw.screen(data="digits", members=100, nonmembers=100, settings=recipe)
        >>> list(screen.table.columns)[:3]
        ['rank', 'index', 'label']
    """
    arguments, where = locals(), "memberwise.screen(...)"
    _refuse_unknown("screen", roles)
    values, inputs = study_and_inputs(
        study,
        where,
        model=model,
        data=data,
        columns={"label": label, "group": group, "unit": unit},
        roles={**roles, "train_rows": train_rows},
        target=target,
        saved={"outputs": outputs, "shadow_outputs": None},
        flags=_flags(arguments),
        settings=settings,
    )
    return _carried_out(run_screen, values, inputs, where, out, resume)


def _flags(arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments that are study keys as they stand; the others may be objects, or are kept elsewhere."""
    return {name: value for name, value in arguments.items() if name in FLAGS and name not in OBJECTS}


def _refuse_unknown(verb: str, roles: Mapping[str, object]) -> None:
    if unknown := sorted(set(roles) - set(ROLES)):
        raise TypeError(f"{verb}() got an unexpected keyword argument {unknown[0]!r}")


def _carried_out(
    run: Callable[..., Kept],
    values: Plain,
    inputs: Inputs,
    where: str,
    out: str | Path | None,
    resume: bool,
    ray_address: str | None = None,
) -> Kept:
    """The study in its folder; without one in a folder that is gone afterwards."""
    if out is not None:
        put(values, "run.out", str(out))
        return run(_study(values, where, ray_address), inputs, resume=resume)
    with tempfile.TemporaryDirectory(prefix="memberwise-") as folder:
        put(values, "run.out", folder)
        return replace(run(_study(values, where, ray_address), inputs), folder=None)


def _study(values: Plain, where: str, ray_address: str | None) -> Study:
    study = make_study(values, where)
    check_ray_address(ray_address, study)
    return study
