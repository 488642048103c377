"""Every way to train trains what a plain loop over the module trains, whatever is odd about the module."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from odd_modules import ACTIVATIONS, TWISTS, chain
from torch import Tensor, nn

from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.errors import StudyError
from memberwise.models.network import Network
from memberwise.models.randomness import KeyedDropout, step_keys
from memberwise.study.schema import PlanConfig, TrainingConfig
from memberwise.training.equality import examined, why_general
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.planning import make_plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.steppers.base import EagerStepper, Stepper, make_stepper, start
from memberwise.training.steppers.conv_compiled import CompiledOneStepper
from memberwise.training.steppers.dense import DenseUpdate, dense_layers, dropout_masks, why_not_written_out
from memberwise.training.steppers.dense_compiled import CompiledStepper
from memberwise.training.steppers.pooling import as_fused
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(3)
DATA = DataTensors.of(RNG.normal(size=(60, 6)).astype(np.float32), RNG.integers(0, 4, 60), 4, CPU)
IMAGES = DataTensors.of(RNG.random((40, 2, 9, 8)).astype(np.float32), RNG.integers(0, 3, 40), 3, CPU)
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
# Modules of another kind, for which nobody expects a written-out step.
UNTOLD = ("none", "nested", "buffer", "subclass of the module", "in double")
Make = Callable[[], nn.Module]
Models = list[dict[str, Tensor]]


def jobs(step: Step | None = None, count: int = 3, **recipe: object) -> list[Job]:
    values = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "weight_decay": 0.1, **recipe}
    made = Recipe.of(TrainingConfig.model_validate(values))
    return [Job(np.random.default_rng(k).permutation(40)[:20], step or Step(0.1), made, 5 + k) for k in range(count)]


def by_hand(job: Job, network: Network, data: DataTensors = DATA) -> dict[str, Tensor]:
    """A loop as anyone would write it; only the order of batches is the engine's. All parameters and buffers."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(job.seed)
        module, recipe = network.make(), job.recipe
        trained = [value for value in module.parameters() if value.requires_grad]
        sgd: dict[str, Any] = {
            "momentum": recipe.momentum,
            "nesterov": recipe.nesterov,
            "weight_decay": recipe.weight_decay,
        }
        optimiser: torch.optim.Optimizer = torch.optim.SGD(trained, lr=0.1, **sgd)
        if recipe.optimizer == "adamw":
            optimiser = torch.optim.AdamW(trained, lr=0.1, weight_decay=recipe.weight_decay)
        feed, number = Feed([job], network, data), 0
        for epoch in range(recipe.epochs):
            for batch, _ in feed.epoch(epoch):
                module.train()
                x, y = batch.x[0], batch.target[0]
                if batch.mask is not None:
                    x, y = x[batch.mask[0] > 0], y[batch.mask[0] > 0]
                total = nn.functional.cross_entropy(
                    module(x), y, reduction="sum", label_smoothing=job.step.label_smoothing
                )
                optimiser.zero_grad()
                (total / (job.step.expected if isinstance(job.step, DpSgd) else len(x))).backward()
                if recipe.clip_norm is not None:
                    nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate(number, feed.per_epoch)
                optimiser.step()
                number += 1
        named = [*module.named_parameters(), *module.named_buffers()]
        return {name: value.detach().clone() for name, value in named}


def trained(network: Network, wanted: Sequence[Job], data: DataTensors = DATA) -> Models:
    """By the plan that the module allows: together, or one by one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = make_plan(PlanConfig(stack=len(wanted), threads=1), network, data, wanted[0])
        groups = [wanted] if plan.stacked else [[job] for job in wanted]
        stacks = [train_stack(group, network.fresh(group[0].seed), data, plan.stacked) for group in groups]
    return [{name: value[k] for name, value in (s.params | s.buffers).items()} for s in stacks for k in range(len(s))]


def stepped(make: Callable[[], Stepper], wanted: Sequence[Job], network: Network, data: DataTensors = DATA) -> Models:
    """By one stepper, whatever the engine would have chosen."""
    stepper, feed = make(), Feed(wanted, network, data)
    for epoch in range(wanted[0].recipe.epochs):
        for i, (batch, keys) in enumerate(feed.epoch(epoch)):
            stepper.step(batch, keys, feed.recipe.rate(epoch * feed.per_epoch + i, feed.per_epoch))
    both = stepper.params | stepper.state.buffers
    return [{name: value[k] for name, value in both.items()} for k in range(len(wanted))]


def check_equal(models: Models, expected: Models, network: Network) -> None:
    for model, right in zip(models, expected, strict=True):
        assert model.keys() == right.keys()
        for name, value in right.items():
            torch.testing.assert_close(
                model[name],
                value,
                rtol=1e-3,
                atol=1e-4,
                msg=lambda m, name=name: f"{name}: {m}",  # type: ignore[misc]
            )
    frozen = {name: value for name, value in network.init(5)[1].items() if name in network.constant}
    assert all(torch.equal(models[0][name], value) for name, value in frozen.items()), "frozen stays what it was"


@st.composite
def odd(draw: st.DrawFn) -> Make:
    bias, flat = draw(st.booleans()), draw(st.sampled_from(["", "first", "last"]))
    twist = draw(st.sampled_from([*TWISTS]))
    least = (
        1 if twist in ("frozen layer", "frozen weight", "without gradient", "frozen in forward") else 0
    )  # or nothing is left to train
    kinds = tuple(draw(st.lists(st.sampled_from(ACTIVATIONS), min_size=least, max_size=3)))
    return made(kinds, bias, flat, twist)


def made(kinds: tuple[str, ...], bias: bool, flat: str, twist: str) -> Make:
    def make() -> nn.Module:
        return TWISTS[twist](chain(kinds, bias, flat))

    make.__qualname__ = f"made({kinds}, {bias}, {flat!r}, {twist!r})"
    return make


many = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@many
@given(odd(), st.sampled_from([{}, {"nesterov": True}, {"optimizer": "adamw"}, {"clip_norm": 0.5}]))
def test_odd_modules_train_as_by_hand(make: Make, recipe: dict[str, object]) -> None:
    network, wanted = Network(make, CPU), jobs(**recipe)  # type: ignore[arg-type]
    expected = [by_hand(job, network) for job in wanted]
    check_equal(trained(network, wanted), expected, network)
    if recipe.get("clip_norm") or dense_layers(network) is None:
        return
    written = DenseUpdate(network, wanted[0].step, torch.float32)
    check_equal(stepped(lambda: EagerStepper(wanted, network, True, written), wanted, network), expected, network)
    if "optimizer" not in recipe:
        begun = start(wanted, network)
        models = stepped(lambda: CompiledStepper(wanted[0], network, *begun, compiles=False), wanted, network)
        check_equal(models, expected, network)


@pytest.mark.slow
@pytest.mark.parametrize("twist", TWISTS)
def test_each_twist_trains_as_by_hand_and_in_bfloat16_near(twist: str) -> None:
    """The engine's own choice of path, in float32, bfloat16 and by DP-SGD."""
    network, wanted = Network(made(("same relu", "tanh", "same relu"), True, "first", twist), CPU), jobs()
    expected = [by_hand(job, network) for job in wanted]
    check_equal(trained(network, wanted), expected, network)
    half = network.computing(torch.bfloat16, torch.contiguous_format)
    begin = [network.init(job.seed)[0] for job in wanted]
    for model, right, first in zip(trained(half, wanted), expected, begin, strict=True):
        off = torch.cat([(model[name] - right[name]).flatten() for name in first]).norm()
        assert float(off) < 0.1 * float(torch.cat([(right[name] - first[name]).flatten() for name in first]).norm())
    check_equal(*in_private(network), network)


@pytest.mark.slow
@many
@given(odd())
def test_odd_modules_train_as_by_hand_in_private(make: Make) -> None:
    check_equal(*in_private(Network(make, CPU)), Network(make, CPU))


def in_private(network: Network) -> tuple[Models, Models]:
    """By DP-SGD without noise and with a clip that nothing reaches, and by hand with the same batches."""
    wanted = jobs(DpSgd(0.0, 1e6, 8.0, 0.1), 2)
    expected = [by_hand(job, network) for job in wanted]
    return trained(network, wanted), expected


@pytest.mark.parametrize("twist", [t for t in TWISTS if t not in UNTOLD])
def test_what_is_odd_is_told(twist: str) -> None:
    """Fully connected networks for which a written-out step was to be expected."""
    network = Network(made(("relu",), True, "", twist), CPU)
    assert dense_layers(network) is None
    assert why_not_written_out(network.module) is not None
    half = network.computing(torch.bfloat16, torch.contiguous_format)
    message = why_general(half, jobs()[0], DATA, stacked=True, compiled=False)
    assert message is not None
    assert "written-out step" in message
    private = why_general(network, jobs(DpSgd(1.0, 1.0, 8.0))[0], DATA, stacked=True, compiled=False)
    assert private is not None
    assert "DP-SGD's written-out step" in private


@pytest.mark.parametrize("kinds", [("relu", "tanh"), ("same relu", "same relu"), ("no dropout", "in place")])
def test_what_is_ordinary_is_written_out(kinds: tuple[str, ...]) -> None:
    network = Network(made(kinds, True, "first", "none"), CPU).computing(torch.bfloat16, torch.contiguous_format)
    for step, compiled in ((Step(), False), (Step(), True), (DpSgd(1.0, 1.0, 8.0), False)):
        assert why_general(network, jobs(step)[0], DATA, stacked=True, compiled=compiled) is None
        known = examined(network, jobs(step)[0], DATA, stacked=True, compiled=compiled)
        assert not known.general
        assert dense_layers(known) is not None


@pytest.mark.parametrize("twist", [t for t in TWISTS if t not in (*UNTOLD, "untrue size")])
@pytest.mark.parametrize("private", [False, True])
def test_comparison_finds_alone_what_recogniser_refuses(
    twist: str, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only dropout asks a layer for its size; all else shows in losses or gradients."""
    network = Network(made(("relu",), True, "", twist), CPU).computing(torch.bfloat16, torch.contiguous_format)
    for place in ("equality", "steppers.dense"):
        monkeypatch.setattr(f"memberwise.training.{place}.why_not_written_out", lambda module: None)
    [job] = jobs(DpSgd(1.0, 1.0, 8.0) if private else None, 1)
    assert why_general(network, job, DATA, stacked=True, compiled=False) is not None


@pytest.mark.parametrize("step", [Step(), DpSgd(1.0, 1.0, 8.0)])
def test_the_comparison_finds_a_recogniser_that_drops_repeats(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    def layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
        return list(module.named_children())

    monkeypatch.setattr("memberwise.training.steppers.dense._layers", layers)
    network = Network(made(("same relu", "same relu"), True, "", "none"), CPU)
    half = network.computing(torch.bfloat16, torch.contiguous_format)
    message = why_general(half, jobs(step)[0], DATA, stacked=True, compiled=False)
    assert message is not None
    assert "is not the module's" in message


class Broken(DenseUpdate):
    """A written-out step with a mistake in it."""

    def __call__(self, params: Any, state: Any, batch: Any, keys: Any) -> tuple[Any, Any, Any]:
        gradient, losses, state = super().__call__(params, state, batch, keys)
        return gradient | {"0.bias": 0.9 * gradient["0.bias"]}, losses, state


def test_a_mistake_in_a_written_out_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recogniser passes it; the comparison does not, and the models are right all the same."""
    for place in ("equality", "steppers.base"):
        monkeypatch.setattr(f"memberwise.training.{place}.DenseUpdate", Broken)
    network = Network(made(("relu",), True, "", "none"), CPU).computing(torch.bfloat16, torch.contiguous_format)
    wanted = jobs()
    message = why_general(network, wanted[0], DATA, stacked=True, compiled=False)
    assert message is not None
    assert "the gradient by 0.bias of a batch is not the module's" in message
    known = examined(network, wanted[0], DATA, stacked=True)
    assert known.general
    updates = make_stepper(wanted, known, stacked=True)
    assert not isinstance(updates._update, DenseUpdate)  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", ["dense_losses", "dense_backward", "dropout_masks", "descend"])
def test_a_mistake_in_any_part_is_found(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hand-written piece in turn is a little wrong; the comparison knows of none of them."""
    import memberwise.training.steppers.dense as dense
    import memberwise.training.steppers.dense_compiled as compiled

    right = getattr(compiled if part == "descend" else dense, part)

    def wrong(*args: object) -> object:
        if part == "dense_losses":
            losses, gradient = right(*args)
            return losses, gradient * 1.01
        if part == "dense_backward":
            return [(name, layer, kept, by * 0.99) for name, layer, kept, by in right(*args)]
        if part == "dropout_masks":
            return [mask.flip(1) for mask in right(*args)]
        params, momenta, gradient, recipe, rate = args
        return right(params, {name: 1.05 * value for name, value in momenta.items()}, gradient, recipe, 1.01 * rate)  # type: ignore[attr-defined, operator]

    for room in (dense, compiled):
        if hasattr(room, part):
            monkeypatch.setattr(room, part, wrong)
    dropping = Network(lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, 4)), CPU)
    assert why_general(dropping, jobs()[0], DATA, stacked=True, compiled=True) is not None


def test_dp_sgd_with_a_mistake_in_its_clipping_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(made(("relu",), True, "", "none"), CPU)
    step = DpSgd(3.0, 0.5, 8.0)
    assert why_general(network, jobs(step)[0], DATA, stacked=True, compiled=False) is None
    right = DpSgd._of_dense

    def unclipped(self: Any, *arguments: Any) -> Any:
        return right(DpSgd(0.0, 1e9, 8.0, self.label_smoothing), *arguments)

    monkeypatch.setattr(DpSgd, "_of_dense", unclipped)
    fresh = Network(network.make, CPU)
    message = why_general(fresh, jobs(step)[0], DATA, stacked=True, compiled=False)
    assert message is not None
    assert "gradient" in message


def pools() -> st.SearchStrategy[nn.Module]:
    size = st.sampled_from([1, 2, 3, (2, 1), (1, 3)])
    largest = st.builds(
        nn.MaxPool2d,
        size,
        stride=st.sampled_from([None, 1, 2, (2, 1)]),
        padding=st.sampled_from([0, 0, 1]),
        dilation=st.sampled_from([1, 1, 2]),
        ceil_mode=st.booleans(),
    )
    mean = st.builds(nn.AvgPool2d, size, stride=st.sampled_from([None, 1, 2]), ceil_mode=st.booleans())
    wide = st.builds(nn.AvgPool2d, st.just(3), padding=st.just(1), count_include_pad=st.booleans())
    return st.one_of(largest, largest, mean, wide)


@pytest.mark.slow
@many
@given(pools(), st.sampled_from(["none", "hook", "twice", "method"]))
@example(nn.MaxPool2d(2), "twice")
@example(nn.MaxPool2d(2), "hook")
@example(nn.MaxPool2d(2), "method")
def test_sliced_pools_train_as_by_hand(pool: nn.Module, twist: str) -> None:
    try:
        shape = pool(torch.zeros(1, 3, 9, 8)).shape
        shape = pool(torch.zeros(shape)).shape if twist == "twice" else shape
    except RuntimeError:  # torch refuses: nothing is left, or too much padding
        return

    def make() -> nn.Module:
        part = type(pool)(**{name: getattr(pool, name) for name in pool.__constants__ if name != "divisor_override"})  # type: ignore[union-attr]
        if twist == "hook":
            part.register_forward_hook(lambda part, inputs, output: output * 2)
        if twist == "method":
            before = part.forward
            part.forward = lambda x: before(x) + 1
        second = [part] if twist == "twice" else []
        return nn.Sequential(
            *(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), part, *second, nn.Flatten()), nn.Linear(shape[1:].numel(), 3)
        )

    network, [job] = Network(make, CPU), jobs(count=1)
    expected = [by_hand(job, network, IMAGES)]
    check_equal(trained(network, [job], IMAGES), expected, network)
    begun = start([job], network)
    stepper = stepped(lambda: CompiledOneStepper(job, network, *begun, compiles=False), [job], network, IMAGES)
    check_equal(stepper, expected, network)


def test_both_places_of_a_pool_are_sliced() -> None:
    pool = nn.MaxPool2d(2)
    assert [type(part).__name__ for part in as_fused(nn.Sequential(pool, nn.ReLU(), pool))] == [  # type: ignore[attr-defined]
        *("SlicedMaxPool", "ReLU", "SlicedMaxPool")
    ]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=4), st.integers(0, 2**40))
@settings(deadline=None, max_examples=30)
def test_masks_are_those_of_keyed_dropout(rates: list[float], seed: int) -> None:
    """Whatever drops nothing draws nothing; what drops all leaves zeros, as torch does."""
    parts: list[nn.Module] = [nn.Linear(6, 6)]
    for rate in rates:
        parts += [nn.Dropout(rate)]
    network = Network(lambda: nn.Sequential(*parts, nn.Linear(6, 4)), CPU)
    layers = dense_layers(network)
    assert layers is not None
    keys = torch.stack([step_keys(seed + k, 1)[0] for k in range(2)])
    weights = {f"{name}.weight": torch.zeros(1) for name, _ in layers}
    masks = dropout_masks(layers, keys, 5, weights)
    for k, key in enumerate(keys):
        with KeyedDropout(key):
            for rate, mask in zip(rates, masks, strict=True):
                torch.testing.assert_close(mask[k], nn.Dropout(rate)(torch.ones(5, 6)), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("drop", "shape"),
    [
        *[(nn.Dropout1d, shape) for shape in ((7, 6), (7, 6, 5))],
        *[(nn.Dropout2d, shape) for shape in ((7, 6), (7, 6, 5), (7, 6, 3, 2))],
        *[(nn.Dropout3d, shape) for shape in ((7, 6, 3, 2), (7, 6, 3, 2, 2))],
        *[(nn.Dropout, (7, 6, 5))],
    ],
)
@pytest.mark.filterwarnings("ignore:dropout[23]d:UserWarning")
def test_keyed_dropout_drops_together_what_torch_drops_together(drop: type[nn.Module], shape: tuple[int, ...]) -> None:
    with KeyedDropout(torch.tensor(77)):
        keyed = drop(0.5)(torch.ones(shape))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        usual = drop(0.5)(torch.ones(shape))
    for values in (keyed, usual):
        assert set(values.unique().tolist()) == {0.0, 2.0}

    def alike(values: Tensor) -> list[bool]:
        return [bool((values == values.narrow(d, 0, 1)).all()) for d in range(values.dim())]

    assert alike(keyed) == alike(usual)


class InAList(nn.Module):
    """Uses a parameter that it also keeps where no one else can reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 4)
        self.kept = [self.first.weight]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.relu(x @ self.kept[0]) + self.first(x))
        return logits


def sharing_memory() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    module[2].weight = nn.Parameter(module[0].weight.data)  # type: ignore[arg-type]
    return module


def after_accumulation() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))

    def halve(value: Tensor) -> None:
        assert value.grad is not None
        value.grad.mul_(0.5)

    module[0].weight.register_post_accumulate_grad_hook(halve)  # type: ignore[operator]
    return module


@pytest.mark.parametrize("make", [InAList, sharing_memory, after_accumulation])
@pytest.mark.parametrize("stacked", [True, False])
def test_what_only_the_module_itself_can_do_is_refused(make: Make, stacked: bool) -> None:
    with pytest.raises(StudyError, match="another function when its parameters are handed to it"):
        train_stack(jobs(count=1), Network(make, CPU), DATA, stacked)


class Constant(nn.Module):
    """Random features that are no buffer: each model has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.last = torch.randn(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.relu(x @ self.features))
        return logits


def test_numbers_that_are_no_buffers_are_not_shared_in_a_stack() -> None:
    network, wanted = Network(Constant, CPU), jobs()
    with pytest.warns(UserWarning, match="one by one: stacked they are another function"):
        assert not make_plan(PlanConfig(stack=3, threads=1), network, DATA, wanted[0]).stacked
    check_equal(trained(network, wanted), [by_hand(job, network) for job in wanted], network)


class Centred(nn.Module):
    def __init__(self, keeps: bool) -> None:
        super().__init__()
        self.last, self.keeps = nn.Linear(6, 4), keeps
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        if self.keeps:
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)  # type: ignore[has-type]
            logits: Tensor = self.last(x - self.mean)
            return logits
        logits = self.last(x - x.mean(0))
        return logits


@pytest.mark.parametrize(("keeps", "why"), [(True, "buffers depend on the records"), (False, "depends on the others")])
def test_dp_sgd_refuses_home_made_batch_normalisation(keeps: bool, why: str) -> None:
    network = Network(lambda: Centred(keeps), CPU)
    with pytest.raises(StudyError, match=why):
        train_stack(jobs(DpSgd(1.0, 1.0, 8.0)), network, DATA)


def test_dp_sgd_puts_no_noise_on_what_is_not_trained() -> None:
    network = Network(made(("relu",), True, "", "without gradient"), CPU)
    [job] = jobs(DpSgd(2.0, 1.0, 8.0), 1)
    [model] = trained(network, [job])
    begin = network.init(job.seed)[0]
    assert torch.equal(model["0.weight"], begin["0.weight"])
    assert not torch.equal(model["2.weight"], begin["2.weight"])


def test_the_trials_leave_random_numbers_alone() -> None:
    network = Network(made(("relu", "no dropout"), True, "", "spectral normed"), CPU)
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    examined(network, jobs()[0], DATA, stacked=False)
    examined(Network(chain_of_two, CPU), jobs()[0], DATA, stacked=True, compiled=True)
    assert torch.equal(torch.rand(3), expected)


def chain_of_two() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
