"""The code on Shokri's slides, written for the mia library, on CIFAR-10 against our interface of that name."""

from __future__ import annotations

import numpy as np

from memberwise.reproduce.bench import Bench, share
from memberwise.reproduce.claim import Findings
from memberwise.reproduce.reproduction import Reproduction
from memberwise.types.arrays import Array
from memberwise.types.foreign import Estimator


def library(bench: Bench) -> Findings:
    """Shadow models, attack models by class, attack: as on the slides, with the import changed."""
    from memberwise.compat.mia.estimators import AttackModelBundle, ShadowModelBundle, prepare_attack_data

    size, shadows, epochs = bench.pick(300, 1500, 15_000), bench.pick(2, 4, 20), bench.pick(4, 20, 50)
    X, y, classes = _records(bench, size * 4)
    data_in, data_out = (X[:size], y[:size]), (X[size : 2 * size], y[size : 2 * size])
    attacker_X_train, attacker_y_train = X[2 * size :], y[2 * size :]
    target_model = _network(classes, bench.seed)
    bench.announce("target")
    target_model.fit(*data_in, epochs=epochs)

    bench.announce("shadow models")
    smb = ShadowModelBundle(lambda seed: _network(classes, seed), shadow_dataset_size=size, num_models=shadows)
    X_shadow, y_shadow = smb.fit_transform(attacker_X_train, attacker_y_train, fit_kwargs={"epochs": epochs})
    amb = AttackModelBundle(_attack_model, num_classes=classes)
    amb.fit(X_shadow, y_shadow)
    attack_test_data, real_membership_labels = prepare_attack_data(target_model, data_in, data_out)
    attack_guesses = amb.predict(attack_test_data)

    right = float(np.mean(attack_guesses == real_membership_labels))
    named = attack_guesses == 1
    precision = float(np.mean(real_membership_labels[named])) if named.any() else float("nan")
    seeds = (bench.seed,)
    accuracy = {name: _accuracy(target_model, *data) for name, data in (("train", data_in), ("test", data_out))}
    rows = [
        bench.row("slides' code", "attack accuracy", share(right, 2 * size, seeds)),
        bench.row("slides' code", "train accuracy", share(accuracy["train"], size, seeds)),
        bench.row("slides' code", "test accuracy", share(accuracy["test"], size, seeds)),
    ]
    if named.any():
        rows.insert(1, bench.row("slides' code", "attack precision", share(precision, int(named.sum()), seeds)))
    notes = (
        f"The slides' code runs as written, with the import changed: {shadows} shadow models of {size:,} records, one "
        f"attack model a class. The slides print no figure for it.",
    )
    return Findings(tuple(rows), (), notes)


def _records(bench: Bench, n: int) -> tuple[Array, Array, int]:
    """``n`` random images in [0, 1] and their one-hot labels."""
    dataset, rng = bench.dataset(), np.random.default_rng(bench.seed)
    rows = np.sort(rng.permutation(dataset.records)[:n])
    rows = rng.permutation(rows)
    classes = len(dataset.classes)
    return dataset.x[rows].astype(np.float32) / 255, np.eye(classes, dtype=np.float32)[dataset.y[rows]], classes


def _network(classes: int, seed: int) -> Estimator:
    """Two convolutions, as the library's own example has."""
    from torch import nn

    from memberwise.compat.mia.wrappers import TorchWrapper

    def module() -> nn.Module:
        features = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        features += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*features, nn.Linear(64 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, classes))

    return TorchWrapper(module, optimizer_params={"lr": 1e-3}, seed=seed)


def _attack_model(seed: int) -> Estimator:
    from sklearn.linear_model import LogisticRegression

    from memberwise.compat.mia.wrappers import SklearnWrapper

    return SklearnWrapper(LogisticRegression(max_iter=1000), seed=seed)


def _accuracy(model: Estimator, x: Array, y: Array) -> float:
    return float(np.mean(model.predict(x).argmax(1) == y.argmax(1)))


REPRODUCTIONS = (
    Reproduction(
        "mia-library",
        "Shokri's slides",
        "the slides' code against memberwise.compat.mia",
        (("cifar10",),),
        (0.4, 2, 120),
        library,
    ),
)
