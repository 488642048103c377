"""Shadow models and attack models in bundles (Shokri et al. 2017, "Membership inference attacks against machine
learning models"), with the ``mia`` library's names, arguments and shapes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from tqdm import tqdm

from memberwise.compat.mia.labels import ask, class_numbers
from memberwise.errors import DataError, StudyError, TargetError
from memberwise.seeds import Seeds
from memberwise.types.arrays import Floats, Ints
from memberwise.types.foreign import Estimator, Factory, Values

Labelled = tuple[Values, Values]


class Serializer(Protocol):
    """Where models go once they are trained."""

    def save(self, model_id: str, model: Estimator, /) -> object:
        """Keep a model under its name."""

    def load(self, model_id: str, /) -> Estimator:
        """The model of this name."""


class ShadowModelBundle:
    """Shadow models, each trained on its own random records, and the attack data they give.

    Args:
        model_fn: makes a fresh model with ``fit(X, y, **fit_kwargs)`` and ``predict_proba(X)`` or ``predict(X)`` that
            give probabilities ``(n, C)``. If it takes ``seed``, each model gets one of its own.
        shadow_dataset_size: records each trains on; as many others are its non-members.
        num_models: how many. More make the attack stronger; the first k of a longer bundle are the bundle of k.
        seed: root of the random numbers.
        serializer: has ``save(model_id, model)``, and is given the models; None: they are kept in ``shadow_models_``.

    Attributes:
        shadow_models_, shadow_train_indices_, shadow_test_indices_: by model, after ``fit_transform``.
    """

    def __init__(
        self,
        model_fn: Factory,
        shadow_dataset_size: int,
        num_models: int = 20,
        seed: int = 42,
        serializer: Serializer | None = None,
    ) -> None:
        if shadow_dataset_size < 1 or num_models < 1:
            raise StudyError(
                "a bundle needs shadow models and records",
                expected="shadow_dataset_size and num_models of at least 1",
                found=f"{shadow_dataset_size} and {num_models}",
                where="ShadowModelBundle",
            )
        self.model_fn, self.shadow_dataset_size, self.num_models = model_fn, shadow_dataset_size, num_models
        self.seed, self.serializer = seed, serializer

    def fit_transform(
        self, X: Values, y: Values, verbose: bool = False, fit_kwargs: Mapping[str, object] | None = None
    ) -> tuple[Floats, Floats]:
        """Train the shadow models; ``(2 * size * models, 2 * C)`` attack data and ``(2 * size * models,)`` 1 IN, 0 OUT.

        A row is a model's answer about a record, then the record's class as given (one-hot: C columns; a class number:
        one). Model after model, for each its members first.

        Args:
            X, y: ``(n, ...)`` records that the target has not seen, and ``(n, C)`` one-hot or ``(n,)`` class numbers.
            verbose: show a bar on standard error.
            fit_kwargs: for every model's ``fit``. All records given to it count as members: hold none of them out.

        Raises:
            DataError: too few records, or labels that are none.
            TargetError: ``model_fn`` gives one object twice, or models do not answer probabilities of all classes.
        """
        X, y, size = np.asarray(X), np.asarray(y), self.shadow_dataset_size
        _check_pair(X, y, "X, y")
        class_numbers(y, "y")
        if 2 * size > len(X):
            raise DataError(
                "there are too few records",
                expected=f"{2 * size:,}: {size:,} for a shadow model to train on and as many others",
                found=f"{len(X):,}",
                where="ShadowModelBundle.fit_transform",
                fix=f"shadow_dataset_size of at most {len(X) // 2:,}",
            )
        self.shadow_models_: list[Estimator] = []
        self.shadow_train_indices_: list[Ints] = []
        self.shadow_test_indices_: list[Ints] = []
        seeds, parts, model = Seeds(self.seed), [], None
        for k in tqdm(range(self.num_models), disable=not verbose):
            model = _fresh(self.model_fn, seeds.integer("shadow", k), model)
            rows = seeds.rng("records", k).permutation(len(X))[: 2 * size]
            inside, outside = rows[:size], rows[size:]
            model.fit(X[inside], y[inside], **(fit_kwargs or {}))
            parts.append(prepare_attack_data(model, (X[inside], y[inside]), (X[outside], y[outside])))
            self.shadow_train_indices_.append(inside)
            self.shadow_test_indices_.append(outside)
            if self.serializer is None:
                self.shadow_models_.append(model)
            else:
                self.serializer.save(f"shadow_{k}", model)
        return np.concatenate([data for data, _ in parts]), np.concatenate([member for _, member in parts])


def prepare_attack_data(model: Estimator, data_in: Labelled, data_out: Labelled) -> tuple[Floats, Floats]:
    """A model's answers as attack data, and the truth.

    Args:
        model: a trained model.
        data_in, data_out: records ``(n, ...)`` and labels of its members and of others.

    Returns:
        ``(n_in + n_out, 2 * C)`` as ``ShadowModelBundle.fit_transform`` has it, members first; ``(n_in + n_out,)``
        1 member, 0 not.
    """
    rows = []
    for (x, y), where in ((data_in, "data_in"), (data_out, "data_out")):
        _check_pair(x, y, where)
        classes = class_numbers(y, where)[1]
        labels, answers = np.asarray(y, dtype=np.float64).reshape(len(x), -1), ask(model, x).reshape(len(x), -1)
        width = answers.shape[1]
        if not (classes == width or (labels.shape[1] == 1 and classes < width)):
            raise DataError(
                "the labels do not fit the model's answers",
                expected=f"{width} classes, as the model answers",
                found=f"{classes} classes",
                where=where,
                fix="give every model and all data one-hot labels of the same width: numpy.eye(classes)[numbers]",
            )
        rows.append(np.hstack([answers, labels]))
    return np.concatenate(rows), np.repeat([1.0, 0.0], [len(part) for part in rows])


class AttackModelBundle:
    """One attack model a class, which tells from a model's answer whether the record was a member.

    Args:
        model_fn: makes a fresh binary classifier: ``fit(answers (n, C), member (n,), **fit_kwargs)``, and
            ``predict_proba`` or ``predict`` with the probability of 1 as ``(n,)``, ``(n, 1)``, or ``(n, 2)`` in the
            second column. If it takes ``seed``, each model gets one of its own.
        num_classes: C.
        serializer: has ``save(model_id, model)`` and ``load(model_id)``, and keeps the models; None: they are kept in
            ``attack_models_``.
        class_one_hot_coded: False: the attack data have a class number in place of one-hot columns.
        seed: root of the random numbers.
    """

    def __init__(
        self,
        model_fn: Factory,
        num_classes: int,
        serializer: Serializer | None = None,
        class_one_hot_coded: bool = True,
        seed: int = 42,
    ) -> None:
        self.model_fn, self.num_classes, self.serializer = model_fn, num_classes, serializer
        self.class_one_hot_coded, self.seed = class_one_hot_coded, seed

    def fit(
        self, X: Values, y: Values, verbose: bool = False, fit_kwargs: Mapping[str, object] | None = None
    ) -> AttackModelBundle:
        """Train the attack models on shadow models' attack data (``ShadowModelBundle.fit_transform``).

        ``X``: ``(n, C + classes)``; ``y``: ``(n,)``, 1 for members.

        Raises:
            DataError: the columns do not fit ``num_classes``, or a class lacks members or others.
        """
        answers, classes = self._parts(X)
        member = np.asarray(y, dtype=np.float64)
        if member.shape != (len(answers),) or not np.isin(member, (0, 1)).all():
            raise DataError(
                "membership must be 1 or 0 a row", found=f"shape {member.shape}", where="AttackModelBundle.fit"
            )
        for k in range(self.num_classes):
            sides = [int(np.sum((classes == k) & (member == side))) for side in (1, 0)]
            if not all(sides):
                raise DataError(
                    f"nothing can be learned about class {k}",
                    expected="members and non-members of every class among the shadow models' records",
                    found=f"{sides[0]} and {sides[1]} of them",
                    where=f"AttackModelBundle(num_classes={self.num_classes})",
                    fix="more shadow models or records for each; or another num_classes, if there is no such class",
                )
        self.attack_models_: list[Estimator] = []
        seeds, model = Seeds(self.seed), None
        for k in tqdm(range(self.num_classes), disable=not verbose):
            model = _fresh(self.model_fn, seeds.integer("attack", k), model)
            model.fit(answers[classes == k], member[classes == k], **(fit_kwargs or {}))
            if self.serializer is None:
                self.attack_models_.append(model)
            else:
                self.serializer.save(f"attack_{k}", model)
        return self

    def predict_proba(self, X: Values) -> Floats:
        """``(n,)`` probability that the record was a member. HIGHER = MORE LIKELY A MEMBER."""
        answers, classes = self._parts(X)
        result = np.zeros(len(answers))
        for k in np.unique(classes):
            model = self.attack_models_[k] if self.serializer is None else self.serializer.load(f"attack_{k}")
            shares = ask(model, answers[classes == k]).reshape((classes == k).sum(), -1)
            if shares.shape[1] > 2:
                raise TargetError(
                    "the attack model is no binary classifier", found=f"{shares.shape[1]} columns", where="model_fn"
                )
            result[classes == k] = shares[:, -1]
        return result

    def predict(self, X: Values) -> Ints:
        """``(n,)`` guesses: 1 where the probability is above 1/2, else 0."""
        return (self.predict_proba(X) > 0.5).astype(np.int64)

    def _parts(self, X: Values) -> tuple[Floats, Ints]:
        """The answers ``(n, C)`` and the classes ``(n,)`` of attack data."""
        data, width = np.asarray(X, dtype=np.float64), self.num_classes
        columns = 2 * width if self.class_one_hot_coded else width + 1
        if data.ndim != 2 or data.shape[1] != columns:
            raise DataError(
                "the attack data do not fit the number of classes",
                expected=f"{columns} columns: {width} of answers, {columns - width} of the class",
                found=f"shape {data.shape}",
                where=f"AttackModelBundle(num_classes={width}, class_one_hot_coded={self.class_one_hot_coded})",
                fix="num_classes is the width of the target's answers and of the one-hot labels",
            )
        labels = data[:, width:] if self.class_one_hot_coded else data[:, width]
        return data[:, :width], class_numbers(labels, "X")[0]


def _fresh(model_fn: Factory, seed: int, last: Estimator) -> Estimator:
    """A new model, which is told its seed if the function takes one."""
    model = model_fn(seed=seed) if "seed" in inspect.signature(model_fn).parameters else model_fn()
    if model is last:
        raise TargetError(
            "the model function gives the same object twice",
            expected="a fresh, untrained model at every call",
            found=type(model).__name__,
            where="model_fn",
        )
    return model


def _check_pair(x: Values, y: Values, where: str) -> None:
    if len(x) != len(y):
        raise DataError("records and labels differ in number", found=f"{len(x)} and {len(y)}", where=where)
