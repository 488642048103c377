"""Code that was written for the ``mia`` library, with only the import changed.

    python examples/mia_library.py

The attack of Shokri et al. 2017 on two classifiers of handwritten digits, one from scikit-learn and one from torch.
Both train on few and noisy images, which they learn by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import nn

from memberwise.compat.mia.estimators import AttackModelBundle, ShadowModelBundle, prepare_attack_data
from memberwise.compat.mia.wrappers import SklearnWrapper, TorchWrapper

NUM_CLASSES = 10
SHADOW_DATASET_SIZE = 300
NUM_MODELS = 5
TARGET_EPOCHS = 30


def sklearn_target_fn(seed: int = 0) -> SklearnWrapper:
    return SklearnWrapper(MLPClassifier((64,), learning_rate_init=3e-3), seed=seed)


def torch_target_fn(seed: int = 0) -> TorchWrapper:
    def module() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, NUM_CLASSES))

    return TorchWrapper(module, optimizer_params={"lr": 3e-3}, seed=seed)


def attack_model_fn() -> SklearnWrapper:
    return SklearnWrapper(LogisticRegression(max_iter=1000))


def attack(target_model_fn: Callable[..., Any]) -> float:
    """The attack's accuracy on the target's members and as many others, where guessing has 0.5."""
    digits, rng = load_digits(), np.random.default_rng(0)
    X = digits.data / 16 + rng.normal(scale=0.5, size=digits.data.shape)
    y = np.eye(NUM_CLASSES)[digits.target]
    data_in, data_out = (X[:300], y[:300]), (X[300:600], y[300:600])
    attacker_X_train, attacker_y_train = X[600:], y[600:]
    target_model = target_model_fn()
    target_model.fit(*data_in, epochs=TARGET_EPOCHS)

    # From here on as the library's users have it.
    smb = ShadowModelBundle(
        target_model_fn,
        shadow_dataset_size=SHADOW_DATASET_SIZE,
        num_models=NUM_MODELS,
    )
    X_shadow, y_shadow = smb.fit_transform(
        attacker_X_train, attacker_y_train, fit_kwargs={"epochs": TARGET_EPOCHS, "verbose": False}
    )

    amb = AttackModelBundle(attack_model_fn, num_classes=NUM_CLASSES)
    amb.fit(X_shadow, y_shadow)

    attack_test_data, real_membership_labels = prepare_attack_data(target_model, data_in, data_out)
    attack_guesses = amb.predict(attack_test_data)
    attack_accuracy = np.mean(attack_guesses == real_membership_labels)
    return float(attack_accuracy)


def main() -> None:
    for name, target_model_fn in (("scikit-learn", sklearn_target_fn), ("torch", torch_target_fn)):
        print(f"{name:12} attack accuracy {attack(target_model_fn):.3f}")


if __name__ == "__main__":
    main()
