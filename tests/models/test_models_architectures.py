"""Every architecture has the published size, takes 1 and 3 channels, and trains many at once as it does alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import StudyError
from memberwise.models.build import build_model
from memberwise.models.modules import ARCHITECTURES
from memberwise.models.network import Network
from memberwise.models.wide_resnet import WideBlock
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.training.job import Job
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step, plain_update
from memberwise.training.steppers.base import make_update, start

IMAGES = [name for name, architecture in ARCHITECTURES.items() if architecture.records == "images"]
NETWORKS = [name for name, architecture in ARCHITECTURES.items() if not architecture.estimator]
TABLES = [name for name in NETWORKS if name not in IMAGES]


def build(name: str, shape: tuple[int, ...], classes: int, **keys: object) -> nn.Module:
    module = build_model(ModelConfig.model_validate({"name": name, **keys}), shape, classes).make()
    assert isinstance(module, nn.Module)
    return module


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def dense(*widths: int) -> int:
    """Parameters of a fully connected network with biases."""
    return sum((before + 1) * after for before, after in pairwise(widths))


def wide_residual(depth: int, k: int) -> int:
    """Parameters of a WRN for 3 channels and 10 classes, counted from table 1 of its paper."""
    count, width = 3 * 16 * 9, 16
    for out in (16 * k, 32 * k, 64 * k):
        for _ in range((depth - 4) // 6):
            count += 2 * width + width * out * 9 + 2 * out + out * out * 9
            count += width * out if width != out else 0
            width = out
    return count + 2 * width + dense(width, 10)


def dense_connected(bottlenecks: int, k: int) -> int:
    """Parameters of a DenseNet-BC for 3 channels and 10 classes, counted from section 3 of its paper."""
    count, width = 3 * 2 * k * 9, 2 * k
    for block in range(3):
        for _ in range(bottlenecks):
            count += 2 * width + width * 4 * k + 2 * 4 * k + 4 * k * k * 9
            width += k
        count += 2 * width
        if block < 2:
            count, width = count + width * (width // 2), width // 2
    return count + dense(width, 10)


# What the source (or a count by hand) says, and to how many parameters it says so.
SIZES = {  # type: ignore[var-annotated]
    "mlp": ((784,), 10, {}, dense(784, 200, 200, 10), 0),
    "logistic": ((20,), 3, {}, 63, 0),
    "shokri-mlp": ((600,), 100, {}, 600 * 128 + 128 + 128 * 100 + 100, 0),
    "shokri-cnn": ((3, 32, 32), 10, {}, (75 + 1) * 32 + (800 + 1) * 32 + dense(2048, 128, 10), 0),
    "nasr-purchase": ((600,), 100, {}, 1_317_348, 0),
    "nasr-texas": ((6169,), 100, {}, 7_020_004, 0),
    "memguard-location": ((446,), 30, {}, dense(446, 1024, 512, 256, 128, 30), 0),
    "cnn": ((3, 32, 32), 10, {}, 28 * 32 + 289 * 64 + dense(4096, 128, 10), 0),
    "alexnet": ((3, 32, 32), 100, {}, 364 * 64 + 1601 * 192 + 1729 * 384 + 3457 * 256 + 2305 * 256 + 25_700, 0),
    "resnet9": ((3, 32, 32), 10, {}, 6_573_120, 0),
    "resnet18": ((3, 32, 32), 10, {}, 11_173_962, 0),
    "wrn-16-4": ((3, 32, 32), 10, {}, 2_750_000, 5_000),
    "wrn-28-2": ((3, 32, 32), 10, {}, 1_470_000, 5_000),
    "densenet-bc-100-12": ((3, 32, 32), 10, {}, 770_000, 5_000),
    "densenet-bc-22-12": ((3, 32, 32), 10, {}, dense_connected(3, 12), 0),
    "densenet-bc-22-12-group": ((3, 32, 32), 10, {}, dense_connected(3, 12), 0),
    "resnet20-group": ((3, 32, 32), 10, {}, 272_474, 0),
}


def test_every_architecture_has_a_size_to_hold_to() -> None:
    assert set(SIZES) == set(NETWORKS)


@pytest.mark.parametrize("name", SIZES)
def test_size(name: str) -> None:
    shape, classes, keys, expected, within = SIZES[name]
    assert abs(parameters(build(name, shape, classes, **keys)) - expected) <= within


def test_rounded_sizes_against_a_count_by_hand() -> None:
    shape = (3, 32, 32)
    assert parameters(build("wrn-16-4", shape, 10)) == wide_residual(16, 4)
    assert parameters(build("wrn-28-2", shape, 10)) == wide_residual(28, 2)
    assert parameters(build("densenet-bc-100-12", shape, 10)) == dense_connected(16, 12)


def test_widths_of_the_smaller_densenet() -> None:
    widths: list[int] = []
    module = build("densenet-bc-22-12", (3, 32, 32), 10)
    for part in module:  # type: ignore[attr-defined]
        part.register_forward_hook(lambda _, __, out: widths.append(out.shape[1]))
    module(torch.zeros(2, 3, 32, 32))
    kept = [w for w, before in zip(widths, [0, *widths], strict=False) if w != before]
    assert kept == [3, 24, 36, 48, 60, 30, 42, 54, 66, 33, 45, 57, 69, 10]


def test_wide_blocks_lead_around_after_relu_where_widths_vary() -> None:
    """Then BatchNorm takes out the input's scale on both ways; where the width stays, the input goes round as it is."""
    torch.manual_seed(0)
    x = torch.randn(8, 4, 6, 6)
    wider, same = WideBlock(4, 6, 2, 0.0), WideBlock(4, 4, 1, 0.0)
    torch.testing.assert_close(wider(100 * x), wider(10 * x), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(same(100 * x) - 100 * x, same(10 * x) - 10 * x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("shape", [(16, 16), (3, 16, 16)], ids=["1 channel", "3 channels"])
def test_forward_and_backward_on_images(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build(name, shape, 7)
    logits = module(torch.randn(3, *shape))
    assert logits.shape == (3, 7)
    nn.functional.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()
    for label, value in module.named_parameters():
        assert value.grad is not None, label
        assert bool(value.grad.isfinite().all()), label
        assert float(value.grad.abs().max()) > 0, label


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8, 8), (1, 28, 28), (3, 32, 32)])
def test_sizes_of_the_built_in_images(shape: tuple[int, ...]) -> None:
    for name in IMAGES:
        with torch.no_grad():
            assert build(name, shape, 10)(torch.zeros(2, *shape)).shape == (2, 10), name


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("shape", [(20,), (3, 5, 5)])
def test_forward_and_backward_on_any_records(name: str, shape: tuple[int, ...]) -> None:
    module = build(name, shape, 4)
    logits = module(torch.randn(3, *shape))
    assert logits.shape == (3, 4)
    logits.sum().backward()
    assert all(value.grad is not None for value in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_two_stacked_equals_a_step_of_each(name: str) -> None:
    """In float64, where summation order is no excuse: gradients, losses and running statistics."""
    shape = (3, 8, 8) if name in IMAGES else (30,)
    network = Network(lambda: build(name, shape, 5).double(), torch.device("cpu"))
    rng = np.random.default_rng(0)
    recipe = Recipe.of(TrainingConfig(batch_size=4))
    jobs = [Job(np.arange(4), Step(), recipe, seed) for seed in (1, 2)]
    params, state = start(jobs, network)
    x, y = torch.from_numpy(rng.normal(size=(2, 4, *shape))), torch.from_numpy(rng.integers(0, 5, (2, 4)))
    batch = Batch(x, y, y, None, torch.zeros(2))
    keys = torch.tensor([5, 6])
    gradient, loss, after = make_update(jobs[0], network, stacked=True)(params, state, batch, keys)
    for i in range(2):
        own = {k: v[i] for k, v in params.items()}
        single = State({k: v[i] for k, v in state.buffers.items()}, {})
        one = Batch(x[i], y[i], y[i], None, torch.zeros(()))
        expected, value, then = plain_update(Step(), network, own, single, one, keys[i])
        torch.testing.assert_close(loss[i], value)
        for label in own:
            torch.testing.assert_close(gradient[label][i], expected[label], rtol=1e-7, atol=1e-9)
        for label in then.buffers:
            torch.testing.assert_close(after.buffers[label][i], then.buffers[label])
    if any("running_mean" in label for label in state.buffers):
        moved = [label for label in state.buffers if not torch.equal(after.buffers[label], state.buffers[label])]
        assert moved == list(state.buffers), "every BatchNorm keeps statistics of its own"


@pytest.mark.parametrize("name", ["mlp", "cnn", "wrn-16-4"])
def test_dropout_where_it_is_offered(name: str) -> None:
    shape = (3, 8, 8)
    drops = [part for part in build(name, shape, 3, dropout=0.25).modules() if isinstance(part, nn.Dropout)]
    assert drops
    assert all(part.p == 0.25 for part in drops)
    assert not [part for part in build(name, shape, 3).modules() if isinstance(part, nn.Dropout)]


@pytest.mark.parametrize(("name", "key", "value"), [("resnet18", "dropout", 0.1), ("cnn", "hidden", [64])])
def test_a_key_that_an_architecture_does_not_heed_is_refused(name: str, key: str, value: object) -> None:
    with pytest.raises(StudyError, match=f"{name} has no {key}"):
        build(name, (3, 32, 32), 10, **{key: value})


def test_an_architecture_for_images_refuses_a_table() -> None:
    with pytest.raises(StudyError, match="resnet9 is for images"):
        build("resnet9", (30,), 10)


def test_code_of_each_family_has_its_own_hash() -> None:
    codes = {name: build_model(ModelConfig(name=name), (3, 32, 32), 10).code for name in IMAGES}
    again = build_model(ModelConfig(name="wrn-16-4"), (3, 32, 32), 10).code
    assert codes["wrn-16-4"] == again != codes["wrn-28-2"], "depth and width are closed over"
    assert len({codes[name] for name in ("cnn", "alexnet", "resnet9", "wrn-16-4", "densenet-bc-22-12")}) == 5
