"""MemGuard: its classifier, its search against a slow loop, its budget, labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from output_models import given, linear, records, served
from scipy.special import softmax

from memberwise.defences.output import unsure
from memberwise.defences.output.memguard import MemGuard, undecided
from memberwise.defences.output.registry import OUTPUT_DEFENCES
from memberwise.errors import StudyError
from memberwise.signals.collectors.base import ask_labels
from memberwise.targets.models import FunctionModels


def answers(n: Any, sure: Any, classes: int = 10, seed: int = 0) -> Any:
    """Logits of a model that is sure of its members and not so sure of others."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, classes))
    z[np.arange(n), rng.integers(0, classes, n)] += sure
    return z


@pytest.fixture(scope="module")
def classifier() -> Any:
    """Trained at twenty times the usual rate, so that little data and few passes do."""
    inside, outside = (np.sort(softmax(answers(400, sure, seed=seed), -1)) for sure, seed in ((8, 1), (3, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unsure, "RATE", 0.02)
        return unsure.train_classifiers([inside], [outside], 40, [np.random.default_rng(0)])[0]


def network(classifier: Any) -> Any:
    """The classifier as torch modules."""
    parts = []
    for weight, bias in classifier:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data, layer.bias.data = torch.tensor(weight.T), torch.tensor(bias[0])
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def slow_search(classifier: Any, start: Any) -> Any:
    """Phase I for one row, by the book."""
    net = network(classifier)
    first = torch.softmax(torch.tensor(start), -1)
    side = net(first[None]).item()
    result = start
    for c3 in [0.1, 1, 10, 100, 1e3, 1e4, 1e5]:
        z = torch.tensor(start, requires_grad=True)
        success = False
        for _ in range(300):
            p = torch.softmax(z, -1)
            loss = net(p[None]).abs().sum() + 10 * torch.relu(z[:-1].max() - z[-1]) + c3 * (p - first).abs().sum()
            (gradient,) = torch.autograd.grad(loss, z)
            z = (z - 0.1 * gradient / gradient.norm()).detach().requires_grad_()
            now = net(torch.softmax(z, -1)[None]).item()
            if now * side <= 0 and z[-1] > z[:-1].max():
                success = True
                break
        if not success:
            return result
        result = z.detach().numpy()
    return result


@pytest.mark.slow
def test_the_search_does_what_a_slow_loop_does(classifier: Any) -> None:
    z = np.sort(np.concatenate([answers(6, 8, seed=3), answers(6, 2, seed=4)])).astype(np.float32)
    fast = softmax(unsure.unsure_logits(classifier, z.astype(np.float64)), -1)
    slow = softmax(np.stack([slow_search(classifier, row) for row in z]), -1)
    same = np.abs(fast - slow).max(-1) < 1e-3
    assert same.mean() >= 0.75  # rounding may decide whether the last, strictest search succeeds
    assert np.abs(np.abs(fast - softmax(z, -1)).sum(-1) - np.abs(slow - softmax(z, -1)).sum(-1)).max() < 0.05


@pytest.mark.slow
def test_the_classifier_learns_and_is_each_models_own() -> None:
    sides = [np.sort(softmax(answers(400, sure, seed=seed), -1)) for sure, seed in ((8, 1), (2, 2), (2, 3), (8, 4))]
    rngs = [np.random.default_rng([0, i]) for i in (0, 1)]
    two = unsure.train_classifiers(sides[::2], sides[1::2], 60, rngs)
    for which, (high, low) in zip(two, (sides[:2], sides[3:1:-1]), strict=True):
        net = network(which)
        told = [net(torch.tensor(part, dtype=torch.float32)).mean().item() for part in (high, low)]
        assert (told[0] > told[1]) == (which is two[0])
    again = unsure.train_classifiers(sides[2:3], sides[3:], 60, [np.random.default_rng([0, 1])])[0]
    for (weight, bias), (w, b) in zip(two[1], again, strict=True):
        np.testing.assert_allclose(weight, w, atol=1e-4)
        np.testing.assert_allclose(bias, b, atol=1e-4)


def test_classifier_ignores_what_is_trained_beside_it() -> None:
    sizes = (200, 90, 32)
    inside, outside = ([np.sort(softmax(answers(n, s, seed=n), -1)) for n in sizes] for s in (8, 3))
    together = unsure.train_classifiers(inside, outside, 20, [np.random.default_rng(i) for i in range(3)])
    for i, found in enumerate(together):
        [alone] = unsure.train_classifiers(inside[i : i + 1], outside[i : i + 1], 20, [np.random.default_rng(i)])
        for (weight, bias), (w, b) in zip(found, alone, strict=True):
            np.testing.assert_allclose(weight, w, atol=1e-5)
            np.testing.assert_allclose(bias, b, atol=1e-5)


@pytest.fixture(scope="module")
def guarded(classifier: Any) -> tuple[Any, Any]:
    z = np.concatenate([answers(100, 8, seed=5), answers(100, 3, seed=6)])
    models, x = given(z)
    states = [(classifier, np.random.default_rng(0))]

    def ask(key: bytes = b"key", **parameters: Any) -> Any:
        return MemGuard(**parameters).answer(models, x, states, [key])[0]

    return z, ask


@pytest.mark.slow
def test_labels_stay_and_the_classifier_is_unsure(guarded: Any, classifier: Any) -> None:
    z, ask = guarded
    released = ask(released=True)
    np.testing.assert_array_equal(released.argmax(-1), z.argmax(-1))
    before, after = (undecided(classifier, np.sort(p)) for p in (softmax(z, -1), released))
    assert before.mean() > 0.1
    assert (after < 0.05).mean() > 0.8
    assert after.mean() < before.mean() / 3


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.05, 0.3, 2.0])
def test_expected_change_is_within_budget_of_two_answers(guarded: Any, budget: float) -> None:
    z, ask = guarded
    plain, noisy, mixed = softmax(z, -1), ask(released=True), ask(budget=budget)
    np.testing.assert_array_equal(mixed.argmax(-1), z.argmax(-1))
    assert (np.isclose(mixed, plain).all(-1) | np.isclose(mixed, noisy).all(-1)).all()
    changes = [np.abs(ask(key, budget=budget) - plain).sum(-1) for key in (b"1", b"2", b"3")]
    # 600 coins; the mean change of one is at most the budget, its spread at most sqrt(2 * budget).
    assert np.mean(changes) <= budget + 4 * np.sqrt(2 * budget / 600)


def test_no_budget_changes_nothing(guarded: Any) -> None:
    z, ask = guarded
    np.testing.assert_array_equal(ask(budget=0), softmax(z, -1))


@pytest.mark.parametrize("classes", [2, 3, 100])
def test_extreme_answers_of_few_or_many_classes(classes: int) -> None:
    z = answers(40, 500, classes)
    z[:5] = 0
    models, x = given(z)
    behind = served(models, MemGuard(epochs=2), members=x, reference=x[20:])
    out = behind.predict(x)[0]
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out.argmax(-1), z.argmax(-1))


def test_each_model_learns_from_its_own_members() -> None:
    models = linear(2)
    members = [records(50, seed=4), records(50, seed=5)]
    asked = [[], []]  # type: ignore[var-annotated]
    for i, inner in enumerate(list(models.predicts)):
        models.predicts[i] = lambda x, i=i, inner=inner: asked[i].append(x) or inner(x)  # type: ignore[func-returns-value, index]
    rngs = [np.random.default_rng(i) for i in range(2)]
    MemGuard(epochs=1).fit(models, lambda i: members[i], records(50, seed=6), rngs)
    for i in range(2):
        np.testing.assert_array_equal(asked[i][0], members[i])


def test_reference_records_are_needed() -> None:
    models = FunctionModels([lambda x: np.zeros((len(x), 3))], "logits")
    with pytest.raises(StudyError, match=r"data\.reference"):
        MemGuard().fit(models, lambda i: records(), None, [np.random.default_rng(0)])


class Swapped(MemGuard):
    """One's own defence on top of it, which answers other labels."""

    def answer(self, target: Any, x: Any, states: Any, keys: Any) -> Any:
        return super().answer(target, x, states, keys)[..., ::-1]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.1, 2.0])
def test_label_only_viewer_gets_answers_without_memguard(budget: float) -> None:
    models, x = linear(3, 4), records(40)
    behind = served(models, MemGuard(budget=budget, epochs=1))
    np.testing.assert_array_equal(ask_labels(behind, x), behind.predict(x).argmax(-1))
    chain = served(models, OUTPUT_DEFENCES["image-noise"](r=0.4), MemGuard(budget=budget, epochs=1))  # type: ignore[call-arg]
    np.testing.assert_array_equal(ask_labels(chain, x), chain.predict(x).argmax(-1))


@pytest.mark.slow
def test_what_is_built_on_it_is_asked_itself() -> None:
    models, x = linear(2, 4), records(40)
    behind = served(models, Swapped(epochs=1))
    np.testing.assert_array_equal(ask_labels(behind, x), behind.predict(x).argmax(-1))
    assert (ask_labels(behind, x) != models.predict(x).argmax(-1)).any()
