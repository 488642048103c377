"""Learning-rate curves against torch's schedulers and closed forms; optimisers; what the study refuses."""

from __future__ import annotations

from math import cos, pi

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from memberwise.errors import StudyError
from memberwise.study.reading import make_study
from memberwise.study.schema import TrainingConfig
from memberwise.training.recipe import Recipe, clip_per_model

PER_EPOCH = 7


def recipe(**keys: object) -> Recipe:
    return Recipe.of(TrainingConfig.model_validate({"epochs": 10, "learning_rate": 0.2, **keys}))


def curve(**keys: object) -> np.ndarray:
    made = recipe(**keys)
    return np.array([made.rate(step, PER_EPOCH) for step in range(made.epochs * PER_EPOCH)])


def by_torch(make: object, steps: int, every: int = 1) -> np.ndarray:
    """A torch scheduler's rates, advanced every so many steps."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = make(optimiser)  # type: ignore[operator]
    rates = []
    for step in range(1, steps + 1):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if step % every == 0:
            scheduler.step()
    return np.array(rates)


def test_cosine_is_torchs() -> None:
    expected = by_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, 70), 70)
    np.testing.assert_allclose(curve(), expected, atol=1e-12)


def test_step_is_torchs() -> None:
    expected = by_torch(lambda o: lr_scheduler.MultiStepLR(o, [4, 8], gamma=0.3), 70, every=PER_EPOCH)
    np.testing.assert_allclose(curve(schedule="step", steps=[8, 4], step_factor=0.3), expected)


def test_constant_after_warm_up_is_torchs() -> None:
    warm = 2 * PER_EPOCH
    expected = by_torch(lambda o: lr_scheduler.LinearLR(o, 1 / warm, 1.0, warm - 1), 70)
    np.testing.assert_allclose(curve(schedule="constant", warmup=2), expected)


def test_step_after_warm_up_counts_epochs_from_the_beginning() -> None:
    rates = curve(schedule="step", steps=[5], warmup=1)
    np.testing.assert_allclose(rates[:PER_EPOCH], 0.2 * np.arange(1, 8) / 7)
    np.testing.assert_allclose(rates[PER_EPOCH:35], 0.2)
    np.testing.assert_allclose(rates[35:], 0.02)


def test_one_cycle_rises_for_a_third_and_falls_by_half_a_cosine() -> None:
    rates = curve(schedule="one-cycle")
    rise = [0.2 * (step + 1) / 21 for step in range(21)]
    fall = [0.1 * (1 + cos(pi * (step - 21) / 49)) for step in range(21, 70)]
    np.testing.assert_allclose(rates, rise + fall)
    falling = by_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, 49), 49)
    np.testing.assert_allclose(rates[21:], falling, atol=1e-12)
    assert rates.argmax() in (20, 21)


def test_no_schedule_divides_by_nothing_in_the_shortest_training() -> None:
    for keys in ({"schedule": "one-cycle"}, {"schedule": "cosine", "warmup": 1}, {"schedule": "cosine"}):
        assert 0 < recipe(epochs=1, **keys).rate(0, 1) <= 0.2


@pytest.mark.parametrize(
    ("keys", "by_hand"),
    [
        ({"nesterov": True, "weight_decay": 0.1}, "nesterov"),
        ({"momentum": 0.0}, "plain"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "adam"),
        ({"optimizer": "adamw", "weight_decay": 0.1}, "adamw"),
    ],
)
def test_optimisers_take_the_steps_of_their_formulas(keys: dict[str, object], by_hand: str) -> None:
    """Three steps with given gradients, in float64, against the update rules written out."""
    made = recipe(**keys)
    w = np.array([1.0, -2.0, 0.5])
    leaf = torch.tensor(w)
    optimiser = made.optimiser([leaf])
    m, v, lr = np.zeros(3), np.zeros(3), 0.2
    for t, g in enumerate(np.random.default_rng(0).normal(size=(3, 3)), start=1):
        optimiser.step([torch.tensor(g)], lr)
        if by_hand in ("nesterov", "plain"):
            mu = 0.9 if by_hand == "nesterov" else 0.0
            g = g + made.weight_decay * w
            m = mu * m + g
            w = w - lr * (g + mu * m if by_hand == "nesterov" else m)
        else:
            g = g + made.weight_decay * w if by_hand == "adam" else g
            w = w * (1 - lr * made.weight_decay) if by_hand == "adamw" else w
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(leaf.numpy(), w, rtol=1e-12)


def test_clipping_bounds_each_models_norm_and_leaves_small_ones() -> None:
    gradients = {"a": torch.tensor([[3.0, 0.0], [0.1, 0.0]]), "b": torch.tensor([[[4.0]], [[0.2]]])}
    clip_per_model(gradients, 1.0)
    torch.testing.assert_close(gradients["a"], torch.tensor([[0.6, 0.0], [0.1, 0.0]]))
    torch.testing.assert_close(gradients["b"], torch.tensor([[[0.8]], [[0.2]]]))


@pytest.mark.parametrize(
    ("training", "key"),
    [
        ({"nesterov": True, "optimizer": "adam"}, "training.nesterov"),
        ({"nesterov": True, "momentum": 0}, "training.nesterov"),
        ({"schedule": "step"}, "training.steps"),
        ({"steps": [5]}, "training.steps"),
        ({"schedule": "step", "steps": [0]}, "training.steps"),
        ({"schedule": "one-cycle", "warmup": 2}, "training.warmup"),
        ({"schedule": "linear"}, "training.schedule"),
        ({"augment": ["flip", "flip"]}, "training.augment"),
        ({"augment": ["rotate"]}, "training.augment"),
        ({"patience": 0}, "training.patience"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(training: dict[str, object], key: str) -> None:
    with pytest.raises(StudyError, match=key):
        make_study({"training": training}, "here")
