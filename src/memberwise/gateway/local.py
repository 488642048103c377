"""A model of this process: a released folder, an ONNX file, a skops file."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memberwise.errors import DataError, MemberwiseError, RunFolderError, StudyError
from memberwise.gateway.behind import Behind, BehindError, Joined, array_records, check_answers, shaped
from memberwise.gateway.bounded import Mechanism, mechanism_of
from memberwise.gateway.defended import Defences, answer_bytes, fingerprint
from memberwise.gateway.policy import Policy, ServedModel
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Rows
from memberwise.store.secret import read_secret
from memberwise.targets.base import Kind, Target
from memberwise.types.arrays import Array, Floats32

if TYPE_CHECKING:
    import pandas as pd

    from memberwise.defences.output.bounded import BoundedDefence
    from memberwise.defences.released import ReleasedModel

# Records that a model is asked about to see what it answers.
EXAMPLES = 16


class LocalModel:
    """A model that answers in a thread of its own, about the records of several requests at once.

    Args:
        predict: from ``(n, *shape)`` float32 to ``(n, classes)`` or ``(n,)``.
        prepare: from what a client sent to records; None: arrays of the shape.
        mechanism: makes answers of what all models of an ensemble say; ``predict`` gives ``(n, worlds, classes)`` then.
    """

    def __init__(
        self,
        predict: Callable[[Floats32], Array],
        *,
        classes: tuple[str, ...],
        shape: tuple[int, ...],
        kind: Kind,
        fingerprint: str,
        most: int,
        columns: tuple[str, ...] | None = None,
        datatype: str = "FP32",
        prepare: Callable[[Array | Rows], Floats32] | None = None,
        mechanism: Mechanism | None = None,
    ) -> None:
        self.mechanism = mechanism
        self.classes, self.shape, self.fingerprint = classes, shape, fingerprint
        self.columns, self.datatype = columns, datatype
        self._kind, self._predict, self._prepare = kind, predict, prepare
        self._thread = ThreadPoolExecutor(1, "model")
        self._joined = Joined(self._ask, 1, most)

    @property
    def kind(self) -> Kind:
        return self._kind

    def records(self, sent: Array | Rows) -> Floats32:
        """Records ``(n, *shape)`` as the model takes them."""
        if self._prepare is None:
            return array_records(sent, self.shape)
        try:
            with np.errstate(over="ignore"):  # what becomes infinite is refused
                return self._prepare(sent)
        except DataError as error:
            # Of the client's own records, in words: what was expected and where, never the model's inside.
            raise Problem("invalid-records", _sentence(error)) from None
        except (TypeError, ValueError, ArithmeticError):  # values that pandas cannot put into a column
            raise Problem("invalid-records") from None

    async def answer(self, x: Floats32) -> Array:
        return await self._joined.answer(x)

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        await self._joined.close()
        self._thread.shutdown(wait=False)

    async def _ask(self, x: Floats32) -> Array:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._checked, x)

    def _checked(self, x: Floats32) -> Array:
        try:
            with np.errstate(all="ignore"):
                answers = self._predict(x)
        except Exception as error:
            raise BehindError(f"the model fails: {type(error).__name__}") from error
        if answers.dtype.kind == "f" and not np.isfinite(answers).all():
            # It is the records that a model of this process has no answer to: numbers so large that it overflows.
            raise BehindError("the model's answers are not finite", "invalid-records")
        if self.mechanism is not None:
            return _checked_worlds(answers, (len(x), self.mechanism.worlds, len(self.classes)))
        return check_answers(answers, len(x), len(self.classes), self._kind if self._kind == "labels" else "scores")


def _checked_worlds(answers: Array, shape: tuple[int, int, int]) -> Array:
    if answers.shape != shape:
        raise BehindError("the models of the ensemble answer in another shape")
    return answers.astype(np.float64)


def local_model(policy: Policy, folder: Path, secret: bytes) -> Behind:
    """The policy's model, loaded.

    Args:
        folder: of the policy. secret: of the output defences of a file; a released folder has its own.

    Raises:
        StudyError: the policy does not fit the model.
        TargetError, RunFolderError: it cannot be loaded.
    """
    model = policy.model or ServedModel()
    path = folder / model.file
    if path.suffix.lower() in (".onnx", ".skops"):
        return _file(policy, model, path, secret)
    if path.is_file():
        raise StudyError(
            "this is no model that is served",
            expected="a run's folder, an .onnx or a .skops file",
            found=path.name,
            where="model.file",
        )
    return _released(policy, model, path)


def _released(policy: Policy, model: ServedModel, folder: Path) -> Behind:
    from memberwise.defences.released import load_target

    served = load_target(folder, model=model.entry, trust=model.trust)
    target = folder if (folder / "metadata.json").is_file() else folder / "target"
    if "answer" in policy.model_fields_set:
        _same_answer(policy, target)
    preprocessing = served.preprocessing
    mechanism = None if served.bounded is None else _mechanism(served, served.bounded, target)

    def prepare(sent: Array | Rows) -> Floats32:
        if isinstance(sent, Rows) and served.columns is not None:
            return preprocessing.records(_frame(sent))
        if isinstance(sent, Rows):
            return array_records(sent, preprocessing.shape)
        # Shades come as whole numbers; any other numbers are features as the model takes them.
        whole = sent.dtype.kind in "iu"
        encoded = served.columns is not None or (preprocessing.shades and not whole)
        return preprocessing.records(shaped(sent, preprocessing.shape), encoded=encoded)

    return LocalModel(
        (lambda x: served.predict(x, encoded=True)) if mechanism is None else lambda x: _said(served, x),
        classes=served.classes,
        shape=preprocessing.shape,
        kind=served.kind,
        fingerprint=fingerprint((target / "metadata.json").read_bytes()),
        most=policy.server.max_records,
        columns=served.columns,
        datatype="UINT8" if preprocessing.shades else "FP32",
        prepare=prepare,
        mechanism=mechanism,
    )


def _mechanism(served: ReleasedModel, defence: BoundedDefence[Any], target: Path) -> Mechanism:
    """The bounded defence of a released ensemble, whose state is kept in the store by the ensemble's weights."""
    import json

    said, kind = served.ensemble(np.zeros((1, *served.preprocessing.shape), np.float32), encoded=True)
    weights = json.loads((target / "metadata.json").read_text("utf-8"))["sha256"]
    return mechanism_of(defence, str(weights), kind, said.shape[1], read_secret(target.parent))


def _said(served: ReleasedModel, x: Floats32) -> Array:
    return served.ensemble(x, encoded=True)[0]


def _same_answer(policy: Policy, target: Path) -> None:
    """Refuse output defences that are not those with which the model was released."""
    import json

    answer = [one.model_dump(mode="json") for one in policy.answer]
    released = json.loads((target / "metadata.json").read_text("utf-8"))["answer"]
    if answer != released:
        raise RunFolderError(
            "the policy's output defences are not those with which the model was released",
            expected=f"answer = {released}",
            found=f"answer = {answer}",
            where="answer",
            fix="leave answer out, or take it from the run: another policy wants an audit of its own",
        )


def _frame(rows: Rows) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([list(row) for row in rows.data], columns=list(rows.columns))


def _sentence(error: DataError) -> str:
    parts = [error.problem, error.expected and f"expected {error.expected}", error.where]
    return "; ".join(part for part in parts if part)[:400] + "."


def _file(policy: Policy, model: ServedModel, path: Path, secret: bytes) -> Behind:
    if not path.is_file():
        raise StudyError("the model is not there", found=str(path), where="model.file")
    loaded = _onnx(path, model) if path.suffix.lower() == ".onnx" else _skops(path, model)
    target, classes, shape = loaded
    defences = Defences(policy.answer, secret, model.trust)
    defended = defences.around(target)
    kind: Kind = "probabilities" if defended.kind == "logits" else defended.kind
    return LocalModel(
        lambda x: _answers(defended, x),
        classes=classes,
        shape=shape,
        kind=kind,
        fingerprint=fingerprint(hashlib.sha256(path.read_bytes()).digest(), answer_bytes(policy.answer)),
        most=policy.server.max_records,
    )


def _answers(target: Target, x: Floats32) -> Array:
    from memberwise.defences.output.base import as_probabilities

    answers = target.predict(x)[0]
    return answers if target.kind == "labels" else as_probabilities(answers, target.kind)


def _onnx(path: Path, model: ServedModel) -> tuple[Target, tuple[str, ...], tuple[int, ...]]:
    from memberwise.data.dataset import Dataset
    from memberwise.targets.onnx import OnnxModel

    if not model.classes or not model.shape:
        raise StudyError(
            "an ONNX file does not say what its records and classes are",
            expected="classes and shape in [model]",
            where=str(path),
            fix='classes = ["no", "yes"] and shape = [30], say',
        )
    example = _examples(model.shape)
    known = Dataset(example[:0], np.zeros(0, np.int64), model.classes, str(path))
    return OnnxModel(path, example, known), model.classes, model.shape


def _skops(path: Path, model: ServedModel) -> tuple[Target, tuple[str, ...], tuple[int, ...]]:
    from memberwise.data.labels import ClassLabels
    from memberwise.targets.estimators import EstimatorModels
    from memberwise.targets.skops_files import load_skops

    estimator = load_skops(path)
    features = getattr(estimator, "n_features_in_", None)
    shape = model.shape or ((int(features),) if features is not None else ())
    values = getattr(estimator, "classes_", None)
    classes = model.classes or (tuple(map(str, values)) if isinstance(values, np.ndarray) else ())
    if not classes or not shape:
        raise StudyError(
            "the model does not say what its records and classes are",
            expected="classes and shape in [model]",
            where=str(path),
        )
    target = EstimatorModels([estimator], ClassLabels.of(classes, None if model.classes else np.asarray(values)))
    try:
        check_answers(target.predict(_examples(shape))[0], EXAMPLES, len(classes), None)
    except MemberwiseError as error:
        raise StudyError("the model does not answer about such records", found=error.problem, where=str(path)) from None
    return target, classes, shape


def _examples(shape: tuple[int, ...]) -> Floats32:
    """Made-up records ``(n, *shape)``, half of them within [0, 1)."""
    rng = np.random.default_rng(0)
    flat = rng.random((EXAMPLES, math.prod(shape)))
    flat[EXAMPLES // 2 :] = rng.standard_normal((EXAMPLES - EXAMPLES // 2, math.prod(shape)))
    return flat.reshape(EXAMPLES, *shape).astype(np.float32)
