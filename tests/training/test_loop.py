"""A stack of models trains as its models do alone, and as a plain loop written out here does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.models.threads import threads_of
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job, TrainedStack
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
CLASSES = 4


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield


def data(n: int = 120, shape: tuple[int, ...] = (12,)) -> DataTensors:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, *shape)).astype(np.float32)
    return DataTensors.of(x, rng.integers(0, CLASSES, n), CLASSES, CPU)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def with_everything() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # a bias before BatchNorm has no gradient but rounding noise
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.GroupNorm(2, 8),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.LayerNorm(32),
        nn.Dropout(0.3),
        nn.Linear(32, CLASSES),
    )


class WithEmbedding(nn.Module):
    """A user's own module: words, numbers, a residual block, LayerNorm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 8)
        self.numbers = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = self.words((x[:, :6].abs() * 3).long().clamp(max=6))
        h = words.mean(1) + self.numbers(x[:, 6:])
        h = h + self.block(h)
        return self.head(self.norm(h))  # type: ignore[no-any-return]


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(144, CLASSES)
    )


def jobs(count: int, rows: int = 50, **recipe: object) -> list[Job]:
    settings = Recipe.of(TrainingConfig.model_validate({"epochs": 3, "batch_size": 16, **recipe}))
    return [
        Job(np.random.default_rng(k).permutation(120)[:rows].astype(np.int64), Step(), settings, 100 + k)
        for k in range(count)
    ]


def difference(one: TrainedStack, i: int, other: TrainedStack, j: int) -> float:
    pairs = [(one.params, other.params), (one.buffers, other.buffers)]
    return max(float((a[k][i].float() - b[k][j].float()).abs().max()) for a, b in pairs for k in a)


@pytest.mark.parametrize(
    "make", [mlp, with_everything, WithEmbedding], ids=["mlp", "conv-norms-dropout", "embedding-residual"]
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_stack_equals_its_models_alone(make: Callable[[], nn.Module], optimizer: str) -> None:
    settings: dict[str, Any] = {"optimizer": optimizer, "learning_rate": 0.01, "weight_decay": 0.01, "clip_norm": 0.5}
    network, table, wanted = Network(make, CPU), data(), jobs(5, **settings)
    stack = train_stack(wanted, network, table)
    part = train_stack(wanted[2:4], network, table)
    assert difference(stack, 2, part, 0) < 1e-5
    assert difference(stack, 3, part, 1) < 1e-5
    alone = train_stack(wanted[3:4], network, table, stacked=False)
    assert difference(stack, 3, alone, 0) < 1e-4
    assert difference(stack, 2, alone, 0) > 1e-3, "two seeds must give two models"


def test_against_a_loop_written_out() -> None:
    """Momentum, cosine schedule, order of batches and last short batch, by hand with torch's own optimiser."""
    table, [job] = data(), jobs(1, learning_rate=0.1, weight_decay=0.001, label_smoothing=0.0, warmup=1)
    ours = train_stack([job, job], Network(mlp, CPU), table)
    torch.manual_seed(job.seed)
    model = mlp()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.001)
    steps = 4 * 3
    for epoch in range(3):
        order = np.random.default_rng([job.seed, epoch]).permutation(50)
        for i in range(4):
            step = epoch * 4 + i
            warm = (step + 1) / 4 if step < 4 else 0.5 * (1 + np.cos(np.pi * (step - 4) / (steps - 4)))
            optimiser.param_groups[0]["lr"] = 0.1 * warm
            rows = torch.from_numpy(job.rows[order[i * 16 : (i + 1) * 16]])
            optimiser.zero_grad()
            functional.cross_entropy(model(table.x[rows]), table.y[rows]).backward()
            optimiser.step()
    for name, value in model.named_parameters():
        torch.testing.assert_close(ours.params[name][1], value.detach(), atol=1e-5, rtol=1e-4)


def test_models_of_unequal_size_are_padded_not_changed() -> None:
    """51 and 53 rows take the same number of steps; the padding must count for nothing."""
    wanted = jobs(3, rows=53)
    wanted[1] = Job(wanted[1].rows[:51], wanted[1].step, wanted[1].recipe, wanted[1].seed)
    network, table = Network(mlp, CPU), data()
    stack = train_stack(wanted, network, table)
    assert difference(stack, 0, train_stack(wanted[:1] * 2, network, table), 0) < 1e-5
    assert difference(stack, 1, train_stack(wanted[1:2] * 2, network, table), 0) < 1e-5


def test_bytes_are_scaled_to_one() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 12) * 10
    table = DataTensors.of(x, np.zeros(2, np.int64), CLASSES, CPU)
    torch.testing.assert_close(table.records(torch.tensor([1])), torch.from_numpy(x[1:].astype(np.float32) / 255))


def test_soft_targets_replace_the_labels() -> None:
    table, [job] = data(), jobs(1)
    hard = table.y[torch.from_numpy(job.rows)]
    soft = Job(job.rows, job.step, job.recipe, job.seed, functional.one_hot(hard, CLASSES).float().numpy())
    network = Network(mlp, CPU)
    same = train_stack([soft, soft], network, table)
    assert difference(train_stack([job, job], network, table), 0, same, 0) < 1e-5


def test_soft_targets_of_unequal_size_are_padded_too() -> None:
    wanted, rng = jobs(2, rows=53), np.random.default_rng(1)
    wanted[1] = replace(wanted[1], rows=wanted[1].rows[:51])
    wanted = [replace(job, targets=rng.dirichlet(np.ones(CLASSES), len(job.rows)).astype(np.float32)) for job in wanted]
    network, table = Network(mlp, CPU), data()
    stack = train_stack(wanted, network, table)
    assert difference(stack, 1, train_stack(wanted[1:] * 2, network, table), 0) < 1e-5


def test_a_loss_that_is_not_finite_is_told() -> None:
    with pytest.raises(TrainingError, match="training loss is"):
        train_stack(jobs(2, learning_rate=1e30), Network(mlp, CPU), data())


def test_a_step_of_ones_own_and_its_state() -> None:
    """A defence's step: another loss, a tensor of its own, its own answers after each epoch."""

    class Weighted(Step):
        needs = frozenset({"outputs"})

        def init(self, network: Any, rows: Any, key: Any) -> dict[str, Any]:
            return {"weight": torch.ones(rows), "epochs": torch.zeros(())}

        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
            logits, buffers = network(params, state.buffers, batch.x, key)
            losses = functional.cross_entropy(logits, batch.target, reduction="none")
            return (losses * state.own["weight"][batch.ids]).mean(), state._replace(buffers=buffers)

        def after_epoch(self, network: Any, params: Any, state: Any, epoch: Any) -> tuple[Any, Any]:
            surest = epoch.outputs.softmax(-1).amax(-1)
            return params, state._replace(own={"weight": 1 - surest, "epochs": state.own["epochs"] + 1})

    plain, table, network = jobs(2), data(), Network(mlp, CPU)
    own = [Job(job.rows, Weighted(), job.recipe, job.seed) for job in plain]
    trained = train_stack(own, network, table)
    assert trained.own["epochs"].tolist() == [3.0, 3.0]
    assert trained.own["weight"].shape == (2, 50)
    assert difference(trained, 0, train_stack(plain, network, table), 0) > 1e-3
    logits, _ = network({k: v[0] for k, v in trained.params.items()}, {}, table.x[torch.from_numpy(own[0].rows)], None)
    torch.testing.assert_close(trained.own["weight"][0], 1 - logits.softmax(-1).amax(-1), atol=1e-5, rtol=1e-4)


def test_embeddings_learn_in_a_stack() -> None:
    network, table, wanted = Network(WithEmbedding, CPU), data(), jobs(2)
    trained = train_stack(wanted, network, table)
    fresh, _ = network.init(wanted[0].seed)
    used = trained.params["words.weight"][0] != fresh["words.weight"]
    assert bool(used.any(1)[:3].all()), "rows of words that occur have moved"


@pytest.mark.slow
@pytest.mark.parametrize("names", [["flip", "crop", "cutout"], ["crop", "mixup"]], ids="+".join)
def test_augmented_training_does_not_depend_on_the_stack(names: list[str]) -> None:
    network, images = Network(small_cnn, CPU), data(shape=(8, 8))
    wanted = jobs(4, augment=names, nesterov=True, schedule="one-cycle", label_smoothing=0.1)
    stack = train_stack(wanted, network, images)
    assert difference(stack, 2, train_stack(wanted[2:], network, images), 0) < 1e-5
    assert difference(stack, 3, train_stack(wanted[3:], network, images, stacked=False), 0) < 1e-4
    plain = jobs(4, nesterov=True, schedule="one-cycle", label_smoothing=0.1)
    assert difference(stack, 0, train_stack(plain, network, images), 0) > 1e-3


def test_augmentation_leaves_padded_models_as_they_are() -> None:
    wanted = jobs(2, rows=53, augment=["flip", "mixup"])
    wanted[1] = replace(wanted[1], rows=wanted[1].rows[:51])
    network, images = Network(small_cnn, CPU), data(shape=(8, 8))
    stack = train_stack(wanted, network, images)
    assert difference(stack, 1, train_stack(wanted[1:] * 2, network, images), 0) < 1e-5


@pytest.mark.parametrize(("names", "dtype"), [(["flip"], torch.int64), (["mixup"], torch.float32)])
def test_a_step_sees_class_numbers_unless_they_are_mixed(names: list[str], dtype: torch.dtype) -> None:
    seen: list[tuple[int, torch.dtype]] = []

    class Watching(Step):
        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> Any:
            seen.append((batch.target.dim(), batch.target.dtype))
            return super().loss(network, params, state, batch, key)

    wanted = [replace(job, step=Watching()) for job in jobs(2, augment=names)]
    train_stack(wanted, Network(small_cnn, CPU), data(shape=(8, 8)))
    assert set(seen) == {(1 if dtype is torch.int64 else 2, dtype)}


def test_each_step_augments_anew() -> None:
    images, flips = data(shape=(8, 8)), []  # type: ignore[var-annotated]

    class Watching(Step):
        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> Any:
            records = images.x[torch.from_numpy(job.rows)[batch.ids]]
            flips.append(tuple((batch.x != records).flatten(1).any(1).tolist()))
            return super().loss(network, params, state, batch, key)

    job = replace(jobs(1, augment=["flip"])[0], step=Watching())
    train_stack([job], Network(small_cnn, CPU), images, stacked=False)
    assert len(flips) == len(set(flips)) == 3 * 4


def test_a_gradient_in_another_order_reaches_its_parameters() -> None:
    class Reversed(Step):
        def update(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any, Any]:
            gradient, loss, state = super().update(network, params, state, batch, key)
            return dict(reversed(gradient.items())), loss, state

    plain, table, network = jobs(2), data(), Network(mlp, CPU)
    turned = train_stack([replace(job, step=Reversed()) for job in plain], network, table)
    assert difference(turned, 1, train_stack(plain, network, table), 1) < 1e-6


def test_a_single_record_is_no_batch_of_its_own() -> None:
    """49 rows in batches of 16 are 3 batches, the last of 17: BatchNorm cannot take one record."""
    network = Network(lambda: nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)), CPU)
    [job] = jobs(1, rows=49)
    assert job.recipe.steps_per_epoch(49) == 3
    assert [job.recipe.steps_per_epoch(n) for n in (1, 16, 17, 18, 32)] == [1, 1, 1, 2, 2]
    trained = train_stack([job], network, data(), stacked=False)
    assert int(trained.buffers["1.num_batches_tracked"][0]) == 9


def test_models_that_are_not_stacked_train_one_at_a_time() -> None:
    with pytest.raises(ValueError, match="one at a time"):
        train_stack(jobs(2), Network(mlp, CPU), data(), stacked=False)
