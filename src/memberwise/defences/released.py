"""A model from a run folder, which answers raw records as it was audited: ``memberwise.load_target``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from scipy.special import expit

from memberwise import models
from memberwise.data.layout import Layout
from memberwise.data.preprocessing import Preprocessing
from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.defences.output.bounded import BoundedDefence, bounded_defence
from memberwise.defences.output.policy import FILE as POLICY
from memberwise.defences.output.policy import read_policy, unpack_states
from memberwise.defences.output.registry import output_defences
from memberwise.defences.output.served import DefendedTarget
from memberwise.errors import RunFolderError, StudyError, TargetError
from memberwise.models.adapting import adapted_model
from memberwise.models.build import build_model, model_of
from memberwise.models.modules import ARCHITECTURES
from memberwise.models.network import Network
from memberwise.models.one_logit import widened_model
from memberwise.store.folder import LEARNED, PREPROCESSING, TARGET_FORMAT, WEIGHTS, changed_file
from memberwise.store.secret import read_secret
from memberwise.study.entrypoint import is_entrypoint, load_entrypoint
from memberwise.study.schema import ModelConfig, OutputDefenceConfig
from memberwise.targets.base import Kind, Target
from memberwise.targets.ensembles import load_ensemble
from memberwise.targets.models import TorchModels
from memberwise.targets.state_dicts import load_weights
from memberwise.types.arrays import Array, Arrays, Floats32
from memberwise.types.foreign import Factory, Values
from memberwise.types.parts import Plain

# Records asked at once.
CHUNK = 4096


class ReleasedModel:
    """A trained model with its preprocessing and its policy.

    Attributes:
        classes: names of the classes, in the order of the answers' columns.
        kind: what an answer is: "probabilities" (logits are turned into them), "scores" (also: a probability of each of
            several labels) or "labels".
        preprocessing: what is done to raw records.
        policy: names of the output defences, in order.
    """

    def __init__(
        self,
        models: Target,
        preprocessing: Preprocessing,
        classes: Sequence[str],
        policy: Sequence[str],
        several_labels: bool = False,
    ) -> None:
        self.preprocessing, self.classes, self.policy = preprocessing, tuple(classes), tuple(policy)
        self._models, self._several = models, several_labels

    @property
    def kind(self) -> Kind:
        if self._several:
            return "scores"
        return "probabilities" if self._models.kind == "logits" else self._models.kind

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that a table of records must have; None where records are arrays."""
        return None if self.preprocessing.encoding is None else self.preprocessing.encoding.columns

    def predict(self, records: Values, *, encoded: bool = False) -> Array:
        """Answers ``(n, classes)``, float64; class numbers ``(n,)`` where labels alone are answered.

        Args:
            records: as the data were: a DataFrame with the table's columns (others are left alone), an array, or a
                dictionary of several inputs.
            encoded: the records are an array of features as the model takes them, encoded already.

        Raises:
            DataError: the records are not what the data were.
        """
        x = self.preprocessing.records(records, encoded)
        parts = [self._answers(x[first : first + CHUNK]) for first in range(0, len(x), CHUNK)]
        if parts:
            return np.concatenate(parts)
        return np.zeros(0, np.int64) if self.kind == "labels" else np.zeros((0, len(self.classes)))

    @property
    def several_labels(self) -> bool:
        """An answer is a probability of each of several labels."""
        return self._several

    @property
    def undefended(self) -> Target:
        """The model or the ensemble behind all output defences, asked about encoded records."""
        return self._models.models if isinstance(self._models, DefendedTarget) else self._models

    @property
    def defences(self) -> tuple[OutputDefence, ...]:
        """The output defences, in order."""
        return tuple(self._models.defences) if isinstance(self._models, DefendedTarget) else ()

    @property
    def bounded(self) -> BoundedDefence[Any] | None:
        """The output defence whose answers have a bound, which keeps a state; None where there is none."""
        defences = self._models.defences if isinstance(self._models, DefendedTarget) else ()
        return bounded_defence(defences)

    def ensemble(self, records: Values, *, encoded: bool = False) -> tuple[Array, Kind]:
        """What each model of an ensemble says, undefended: for whoever keeps the state of ``bounded`` elsewhere.

        Returns:
            ``(n, worlds, classes)``, and the kind of these answers.

        Raises:
            StudyError: there is no bounded defence, which stands alone around an ensemble.
        """
        models = self._models
        inner = models.inner if self.bounded is not None and isinstance(models, DefendedTarget) else models
        answers = inner.worlds(self.preprocessing.records(records, encoded))
        if answers is None:
            raise StudyError(
                "a bounded defence answers from an ensemble, and stands alone around it",
                found=", ".join(self.policy) or "no output defence",
                where="answer",
            )
        return answers[0].swapaxes(0, 1), inner.kind

    def _answers(self, x: Floats32) -> Array:
        answers = self._models.predict(x)[0]
        if self._several:
            return np.asarray(expit(answers.astype(np.float64)) if self._models.kind == "logits" else answers)
        return answers if self._models.kind == "labels" else as_probabilities(answers, self._models.kind)

    def __repr__(self) -> str:
        policy = ", ".join(self.policy) or "undefended"
        return f"ReleasedModel({len(self.classes)} classes, {policy}, answers {self.kind})"


def load_target(
    folder: str | Path, *, model: Factory | str | None = None, policy: bool = True, trust: str | Sequence[str] = ()
) -> ReleasedModel:
    """The model that an audit or a frontier left in its folder, ready to answer raw records by its policy.

    Args:
        folder: the run's folder (or its ``target/``); ``policy.toml`` and ``secret.key`` are there where answers are
            defended.
        model: what makes the model, where it is no built-in architecture: the function or class, or ``"file.py:name"``,
            whose code is run.
        policy: False: what the model itself answers, undefended.
        trust: output defences of your own in the policy (``"file.py:name"``) whose code may be run.

    Raises:
        RunFolderError: no model is there, a file was changed, or the policy's secret is missing or open to others.
        TargetError: the weights do not fit ``model``.
        StudyError: code would have to be run that was not named.

    Examples:
        >>> import pandas as pd
        >>> import memberwise as mw
        >>> model = mw.load_target("runs/patients")
        >>> model.predict(pd.DataFrame({"age": [40, 70], "job": ["nurse", "smith"]})).shape
        (2, 2)
    """
    target = _target_folder(Path(folder))
    facts = _facts(target)
    preprocessing = Preprocessing.of_dict(_json(target / PREPROCESSING), str(target / PREPROCESSING))
    network = Network(_maker(facts, model, target, preprocessing.layout), torch.device("cpu"))
    models = _trained(target / WEIGHTS, network, facts)
    names: list[str] = []
    if policy and (facts["answer"] or (target.parent / POLICY).exists()):
        answer = read_policy(target.parent)
        names = [defence.name for defence in answer]
        if [defence.model_dump(mode="json") for defence in answer] != facts["answer"]:
            raise RunFolderError(
                "the policy is not the one with which the model was released",
                expected=f"answer = {facts['answer']}",
                found=f"answer = {[defence.model_dump(mode='json') for defence in answer]}",
                where=str(target.parent / POLICY),
                fix="take it from the run again; another policy wants an audit of its own",
            )
        defences = _defences(answer, target.parent, [trust] if isinstance(trust, str) else trust)
        models = _served(models, defences, facts, target) if defences else models
    return ReleasedModel(models, preprocessing, facts["classes"], names, bool(facts.get("several_labels")))


def _trained(path: Path, network: Network, facts: Plain) -> Target:
    """The model or the ensemble that was trained, undefended."""
    size = facts.get("worlds")
    module = network.made(0) if size else load_weights(path, network)[0]
    around = network.around(module)
    around.kind = facts["kind"]
    if size:
        return load_ensemble(path, around, size)
    params, buffers = ({k: v[None] for k, v in part.items()} for part in around.init(0))
    return TorchModels(around, params, buffers, stacked=False)


def _target_folder(folder: Path) -> Path:
    """The folder with the weights: of a run, or named itself."""
    for target in (folder / "target", folder):
        if (target / "metadata.json").is_file():
            return target
    run = (folder / "study.toml").exists() or (folder / "frontier.json").exists()
    raise RunFolderError(
        f"{folder} holds no model",
        expected="target/ with the weights of a network that was trained there",
        found="a run of a model that is not kept: a scikit-learn classifier, a training function, a target that was "
        "given, or saved answers"
        if run
        else "no run" if folder.exists() else "nothing",
        where=str(folder),
        fix="keep such a model yourself (skops, ONNX), and ask it about the rows as you do" if run else None,
    )  # fmt: skip


def _json(path: Path) -> Plain:
    try:
        values: Plain = json.loads(path.read_text("utf-8", "surrogatepass"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read", found=str(error), fix="take it from the run again") from error
    return values


def _facts(target: Path) -> Plain:
    """``metadata.json``, and all files as they were written."""
    facts: Plain = _json(target / "metadata.json")
    known = isinstance(facts, dict) and facts.get("format") == TARGET_FORMAT
    needed = {"built_in", "architecture", "model", "classes", "record_shape", "kind", "answer", "not_kept", "files"}
    if not known or not needed <= set(facts):
        raise RunFolderError(
            "this target was written by another version of memberwise",
            expected=f"format {TARGET_FORMAT}",
            found=f"format {facts.get('format')}" if isinstance(facts, dict) else "no facts",
            where=str(target / "metadata.json"),
            fix="run the audit again into the same folder: the target is then written anew",
        )
    if (changed := changed_file(target)) is not None:
        raise RunFolderError(
            "a file of the target is missing or was changed after it was written",
            where=str(target / changed),
            fix="take the folder from the run again",
        )
    return facts


def _maker(facts: Plain, model: Factory | str | None, target: Path, layout: Layout | None) -> Factory:
    """What makes the module: a built-in architecture, or what the caller names."""
    shape, classes, name = tuple(facts["record_shape"]), len(facts["classes"]), str(facts["architecture"])
    several_labels = bool(facts.get("several_labels"))
    try:
        study = ModelConfig.model_validate(facts["model"])
    except ValidationError as error:
        raise RunFolderError(
            "the target's architecture cannot be read", found=str(error), where=str(target / "metadata.json")
        ) from error
    named = study.name in ARCHITECTURES if facts["built_in"] else name == study.name and _is_ours(name)
    if model is None and named:
        return build_model(study, shape, classes).make
    if model is None:
        again = repr(name) if is_entrypoint(name) else name
        raise StudyError(
            f"the target was made by {name}, which is code of your own and is not run unless you name it",
            where="load_target(model=...)",
            fix=f"load_target({str(target.parent)!r}, model={again})",
        )
    if isinstance(model, str):
        model = load_entrypoint(model, "load_target(model=...)") if is_entrypoint(model) else model
    if isinstance(model, str):
        return build_model(study.model_copy(update={"name": model}), shape, classes).make
    if isinstance(model, torch.nn.Module):
        raise TargetError(
            "a model that makes a fresh module is needed",
            expected="the function or class that made the target",
            found=f"an object of type {type(model).__name__}",
            where="load_target(model=...)",
        )
    made = model_of(model, study, shape, classes, name)
    if made.kind != "module":
        raise TargetError(
            "the target is a network, and this makes none", found=f"a {made.kind}", where="load_target(model=...)"
        )
    made = adapted_model(made, layout, np.zeros((2, *shape), np.float32))
    if classes != 2 or several_labels:
        return made.make
    # Numbers from 0 to 1 are records of every type: as token ids they are 0.
    return widened_model(made, np.random.default_rng(0).random((16, *shape)).astype(np.float32)).make


def _is_ours(name: str) -> bool:
    """``memberwise.models.FILE:FUNCTION``: whatever else a folder names is code that somebody wrote."""
    place, _, attribute = name.rpartition(":")
    if not place.startswith(f"{models.__name__}.") or place.endswith(".py"):
        return False
    return getattr(getattr(import_module(place), attribute, None), "__module__", None) == place


def _defences(answer: Sequence[OutputDefenceConfig], folder: Path, trust: Sequence[str]) -> tuple[OutputDefence, ...]:
    """The policy's output defences; code of the user's own runs only where it is named."""
    names = [defence.name for defence in answer if is_entrypoint(defence.name) and defence.name not in trust]
    if names:
        raise StudyError(
            f"the policy names {names[0]}, which is code of your own and is not run unless you trust it",
            where=str(folder / POLICY),
            fix=f"load_target({str(folder)!r}, trust={names})",
        )
    return output_defences(answer)


def _served(models: Target, defences: Sequence[OutputDefence], facts: Plain, target: Path) -> DefendedTarget:
    if facts["not_kept"]:
        name = type(defences[facts["not_kept"][0]]).__name__ if len(defences) > facts["not_kept"][0] else "a defence"
        raise RunFolderError(
            f"{name} learned something of the target that is not in its folder",
            where=str(target.parent / POLICY),
            fix="give it the methods pack and unpack (memberwise.defences.output.base), and run the audit again",
        )
    arrays: Arrays = {}
    if (target / LEARNED).exists():
        with np.load(target / LEARNED, allow_pickle=False) as file:
            arrays = dict(file)
    return DefendedTarget(models, defences, unpack_states(defences, arrays), [read_secret(target.parent)])
