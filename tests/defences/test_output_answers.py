"""What every output defence promises: shape, kind, label, no strength no change, each record by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from output_models import linear, records, served
from scipy.special import softmax

from memberwise.defences.output.bounded import BoundedDefence
from memberwise.defences.output.registry import OUTPUT_DEFENCES

# Those with a bound answer from an ensemble and keep a state: they have tests of their own.
SINGLE = [name for name, defence in OUTPUT_DEFENCES.items() if not issubclass(defence, BoundedDefence)]
QUICK = {"memguard": {"epochs": 1}, "ldl": {"copies": 5}}
# Parameters with which a defence changes nothing, and as what it then answers.
NOTHING = {
    "rounding": ({"digits": 15}, "probabilities"),
    "temperature": ({"t": 1}, "logits"),
    "top-k": ({"k": 100}, "probabilities"),
    "label-only": ({}, "labels"),
    "high-confidence": ({"cutoff": 0}, "probabilities"),
    "reverse-sigmoid": ({"beta": 0}, "probabilities"),
    "gaussian-noise": ({"scale": 0}, "probabilities"),
    "image-noise": ({"r": 0}, "logits"),
    "logit-clipping": ({"r": 1e6}, "logits"),
    "confidence-noise": ({"r": 0}, "logits"),
    "memguard": ({"budget": 0}, "probabilities"),
    "ldl": ({"sigma": 0}, "labels"),
    "dynanoise": ({"variance": 0, "t": 1}, "logits"),
}
VARIANTS = [
    *((name, QUICK.get(name, {})) for name in SINGLE),
    ("logit-clipping", {"mode": "rescale"}),
    ("image-noise", {"draw": "pixel", "noise": "gaussian", "average": 3}),
    ("confidence-noise", {"draw": "shared", "r": 15}),
    ("confidence-noise", {"on": "probabilities", "r": 0.5, "keep_label": True}),
    ("gaussian-noise", {"on": "logits", "scale": 3, "keep_label": True}),
    ("reverse-sigmoid", {"beta": 3, "keep_label": True}),
    ("memguard", {"epochs": 1, "released": True}),
    ("ldl", {"copies": 5, "released": True}),
]


def make(name: Any, parameters: Any) -> Any:
    return OUTPUT_DEFENCES[name](**parameters)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
@pytest.mark.parametrize("classes", [2, 3, 100])
@pytest.mark.parametrize("scale", [4.0, 400.0])
def test_answers_are_finite_and_of_the_kind_it_says(name: Any, parameters: Any, classes: int, scale: float) -> None:
    defence = make(name, parameters)
    models, x = linear(2, classes, scale=scale), records()
    behind = served(models, defence)
    answers = behind.predict(x)
    assert answers.shape == ((2, 50) if behind.kind == "labels" else (2, 50, classes))
    assert np.isfinite(answers).all()
    if behind.kind == "probabilities":
        assert answers.min() >= 0
        np.testing.assert_allclose(answers.sum(-1), 1, atol=3e-6)
    if defence.keeps_label:
        labels = answers if behind.kind == "labels" else answers.argmax(-1)
        np.testing.assert_array_equal(labels, models.predict(x).argmax(-1))


def test_every_defence_but_hamp_can_change_nothing() -> None:
    assert set(NOTHING) == set(SINGLE) - {"hamp"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTHING)
def test_zero_strength_answers_are_the_undefended_ones(name: Any) -> None:
    parameters, kind = NOTHING[name]
    models, x = linear(2), records()
    logits = models.predict(x)
    expected = {"logits": logits, "probabilities": softmax(logits, -1), "labels": logits.argmax(-1)}[kind]
    np.testing.assert_allclose(served(models, make(name, parameters)).predict(x), expected, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_an_answer_depends_on_its_record_and_its_model_alone(name: Any, parameters: Any) -> None:

    models, x = linear(3), records()
    behind = served(models, make(name, parameters))
    answers = behind.predict(x)
    np.testing.assert_array_equal(behind.predict(x), answers)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(behind.predict(x[7:20]), answers[:, 7:20], **close)  # type: ignore[call-overload]
    np.testing.assert_allclose(behind.one(1).predict(x)[0], answers[1], **close)  # type: ignore[call-overload]
    apart = served(models.one(1), make(name, parameters), seeds=[1])
    np.testing.assert_allclose(apart.predict(x)[0], answers[1], **close)  # type: ignore[call-overload]


@pytest.mark.parametrize(("name", "parameters"), [v for v in VARIANTS if v[0] not in ("memguard", "hamp", "ldl")])
def test_probabilities_are_taken_as_well_as_logits(name: Any, parameters: Any) -> None:
    x, defence = records(), make(name, parameters)
    from_logits, behind = served(linear(2), defence), served(linear(2, kind="probabilities"), defence)
    one, other = from_logits.predict(x), behind.predict(x)
    if name in ("logit-clipping", "image-noise"):  # where a common constant of the logits is lost
        assert np.isfinite(other).all()
        return
    if from_logits.kind == behind.kind == "logits":
        one, other = softmax(one, -1), softmax(other, -1)
    np.testing.assert_allclose(other, one, atol=1e-6)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_the_model_is_asked_as_often_as_it_says(name: Any, parameters: Any) -> None:
    models, x = linear(1), records()
    behind = served(models, make(name, parameters))
    asked = []
    inner = models.predicts[0]
    models.predicts[0] = lambda x: asked.append(len(x)) or inner(x)  # type: ignore[func-returns-value, index]
    behind.predict(x)
    assert sum(asked) == make(name, parameters).queries * len(x)


def test_the_largest_of_three_equal_scores_is_the_label() -> None:
    from memberwise.defences.output.base import with_label

    values = np.array([[[2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [3.0, -1.0, 2.0]]])
    labels = np.array([[2, 1, 0]])
    np.testing.assert_array_equal(with_label(values, labels).argmax(-1), labels)
    np.testing.assert_array_equal(values[0, 0], [2, 2, 1])


def test_top_k_keeps_exactly_k_where_classes_tie() -> None:
    from output_models import given

    models, x = given(np.zeros((4, 6)))
    assert (served(models, make("top-k", {"k": 2})).predict(x) > 0).sum(-1).tolist() == [[2] * 4]


def test_reverse_sigmoid_by_its_formula() -> None:
    from output_models import given

    p = np.array([[0.7, 0.2, 0.1]])
    models, x = given(np.log(p))
    pushed = [v - 0.5 * (1 / (1 + ((1 - v) / v) ** 0.2) - 0.5) for v in p[0]]
    expected = np.array(pushed) / sum(pushed)
    np.testing.assert_allclose(
        served(models, make("reverse-sigmoid", {"beta": 0.5, "gamma": 0.2})).predict(x)[0, 0], expected
    )
