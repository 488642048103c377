"""DP-SGD against Opacus' gradients, against slow loops, and against a second way of accounting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from opacus.accountants import PRVAccountant
from scipy import optimize, stats
from torch import Tensor, nn

from memberwise.defences.training.base import Fit
from memberwise.defences.training.dp_accounting import Sampling, epsilon_of, noise_for
from memberwise.defences.training.dp_sgd import DEFENCE, DpSgdOptions, noise_multiplier, sampling
from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.errors import MissingExtraError, StudyError
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.study.schema import TrainingConfig
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 12)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
DATA = DataTensors.of(X, Y, 3, CPU)
RECIPE = Recipe.of(TrainingConfig(epochs=3, batch_size=32, learning_rate=0.1))
FIT = Fit(3, 200, RECIPE)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8, bias=False), nn.Tanh(), nn.Linear(8, 3))


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.LayerNorm(16),
        nn.Linear(16, 3),
    )


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def jobs(step: Step, count: int = 3, recipe: Recipe = RECIPE) -> list[Job]:
    return [
        Job(np.random.default_rng(k).permutation(300)[:200].astype(np.int64), step, recipe, 70 + k)
        for k in range(count)
    ]


def batch(n: int = 20, masked: int = 0) -> Batch:
    mask = torch.cat([torch.ones(n - masked), torch.zeros(masked)]) if masked else None
    return Batch(DATA.x[:n], DATA.y[:n], torch.arange(n), mask, torch.tensor(0))


def slow_clipped_sum(network: Network, params: dict[str, Tensor], part: Batch, clip: float) -> dict[str, Tensor]:
    """One record after the other, by ordinary autograd."""
    total = {name: torch.zeros_like(value) for name, value in params.items()}
    for i in range(len(part.x)):
        if part.mask is not None and not part.mask[i]:
            continue
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        logits, _ = network(leaves, {}, part.x[i : i + 1], None)
        loss = nn.functional.cross_entropy(logits, part.target[i : i + 1])
        gradient = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        norm = torch.cat([g.flatten() for g in gradient.values()]).norm()
        for name, g in gradient.items():
            total[name] += g * min(1.0, clip / float(norm))
    return total


@pytest.mark.parametrize("make", [mlp, conv], ids=["dense", "any module"])
@pytest.mark.parametrize("masked", [0, 7])
def test_the_clipped_sum_against_a_loop(make: Callable[[], nn.Module], masked: int) -> None:
    network, part = Network(make, CPU), batch(masked=masked)
    params, buffers = network.init(1)
    total, losses = DpSgd(0.0, 0.4, 32.0).clipped_sum(network, params, State(buffers, {}), part, step_keys(0, 1)[0])
    for name, slow in slow_clipped_sum(network, params, part, 0.4).items():
        torch.testing.assert_close(total[name], slow, atol=1e-5, rtol=1e-4)
    logits, _ = network(params, buffers, part.x, None)
    torch.testing.assert_close(losses, nn.functional.cross_entropy(logits, part.target, reduction="none"))
    kept = 20 - masked
    assert torch.cat([value.flatten() for value in total.values()]).norm() <= kept * 0.4 * (1 + 1e-6)


@pytest.mark.filterwarnings("ignore:Full backward hook:UserWarning", "ignore:Using a non-full backward:FutureWarning")
def test_record_gradients_against_opacus() -> None:
    from opacus.grad_sample import GradSampleModule

    network, part = Network(conv, CPU), batch()
    params, buffers = network.init(2)
    gradients, _ = DpSgd(0.0, 1.0, 32.0).record_gradients(
        network, params, State(buffers, {}), part, step_keys(0, 1)[0], slice(0, 20)
    )
    module = conv()
    module.load_state_dict(params)
    theirs = GradSampleModule(module, loss_reduction="sum")
    nn.functional.cross_entropy(theirs(part.x), part.target, reduction="sum").backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad_sample, atol=1e-5, rtol=1e-5)  # type: ignore[attr-defined]


def test_few_records_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, part = Network(dropping, CPU), batch(masked=3)
    params, buffers = network.init(1)
    step, key = DpSgd(0.0, 0.4, 32.0), step_keys(3, 1)[0]
    whole, losses = step.clipped_sum(network, params, State(buffers, {}), part, key)
    monkeypatch.setattr("memberwise.defences.training.dp_sgd_step.BYTES", 4 * network.parameters * 6)
    chunks, same = step.clipped_sum(network, params, State(buffers, {}), part, key)
    torch.testing.assert_close(losses, same)
    for name, value in whole.items():
        torch.testing.assert_close(chunks[name], value)


def test_each_record_has_dropout_of_its_own() -> None:
    network = Network(dropping, CPU)
    params, buffers = network.init(1)
    same = Batch(DATA.x[:1].repeat(6, 1), DATA.y[:1].repeat(6), torch.arange(6), None, torch.tensor(0))
    _, losses = DpSgd(0.0, 1.0, 6.0).clipped_sum(network, params, State(buffers, {}), same, step_keys(3, 1)[0])
    assert len(set(losses.tolist())) == 6


@pytest.mark.slow
def test_the_noise_has_its_size_and_is_divided_with_the_sum() -> None:
    network, part = Network(mlp, CPU), batch()
    params, buffers = network.init(1)
    state = State(buffers, {})
    quiet, noisy = DpSgd(0.0, 0.4, 32.0), DpSgd(2.5, 0.4, 32.0)
    draws = []
    for key in step_keys(11, 200):
        with_noise = noisy.update(network, params, state, part, key)[0]
        without = quiet.update(network, params, state, part, key)[0]
        draws.append(torch.cat([(with_noise[name] - without[name]).flatten() for name in params]))
    noise = torch.stack(draws).double().numpy()
    expected = 2.5 * 0.4 / 32.0
    # 200 x 355 normal numbers: the relative error of a standard deviation is 1 / sqrt(2 n), here 0.27 %.
    assert noise.std() == pytest.approx(expected, rel=0.012)
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    assert stats.kstest(noise.flatten() / expected, "norm").pvalue > 1e-3
    between = np.corrcoef(noise.T)[np.triu_indices(noise.shape[1], 1)]
    assert between.std() == pytest.approx(1 / np.sqrt(200), rel=0.05), "coordinates are independent"


def test_a_batch_without_records_is_noise_alone() -> None:
    network = Network(mlp, CPU)
    params, buffers = network.init(1)
    gradient, loss, _ = DpSgd(1.0, 1.0, 32.0).update(
        network, params, State(buffers, {}), batch(4, masked=4), step_keys(1, 1)[0]
    )
    assert float(loss) == 0.0
    assert all(float(value.std()) > 0.01 for value in gradient.values())


@pytest.mark.slow
@pytest.mark.parametrize("make", [mlp, conv, dropping], ids=["dense", "conv", "dropout"])
def test_a_stack_equals_its_models_alone(make: Callable[[], nn.Module]) -> None:
    network, wanted = Network(make, CPU), jobs(DpSgd(0.8, 1.0, 32.0))
    stack = train_stack(wanted, network, DATA)
    alone = train_stack(wanted[1:2], network, DATA, stacked=False)
    plain = train_stack([replace(job, step=Step()) for job in wanted], network, DATA)
    for name, value in stack.params.items():
        torch.testing.assert_close(value[1], alone.params[name][0], atol=1e-4, rtol=1e-4)
    assert max(float((stack.params[n][1] - plain.params[n][1]).abs().max()) for n in stack.params) > 0.01


@pytest.mark.parametrize("make", [mlp, conv], ids=["dense", "conv"])
def test_dp_sgd_without_noise_and_clip_is_poisson_sgd(make: Callable[[], nn.Module]) -> None:
    class Sampled(Step):
        """The sum over a Poisson batch divided by its expected size, and nothing else."""

        poisson = True

        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
            mean, after = super().loss(network, params, state, batch, key)
            return mean * batch.mask.sum() / 32, after

    network = Network(make, CPU)
    ours = train_stack(jobs(DpSgd(0.0, 1e9, 32.0)), network, DATA)
    plain = train_stack(jobs(Sampled()), network, DATA)
    for name, value in ours.params.items():
        torch.testing.assert_close(value, plain.params[name], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_and_channels_last_train_close_by(layout: torch.memory_format) -> None:
    for make in (mlp, conv):
        exact, fast = Network(make, CPU), Network(make, CPU).computing(torch.bfloat16, layout)
        ours = [train_stack(jobs(DpSgd(0.1, 1.0, 32.0), 1), n, DATA, stacked=False) for n in (exact, fast)]
        for name, value in ours[0].params.items():
            assert float((value - ours[1].params[name]).abs().max()) < 0.05


def test_accounting_is_of_the_batches_that_are_drawn() -> None:
    feed = Feed(jobs(DpSgd(1.0, 1.0, 32.0)), Network(mlp, CPU), DATA)
    how = sampling(FIT)
    assert how.rate == feed.rate(feed.jobs[0]) == 32 / 200
    assert how.steps == sum(1 for epoch in range(3) for _ in feed.epoch(epoch))
    assert sampling(replace(FIT, rows=20)) == Sampling(1.0, 3)


def gaussian_epsilon(noise: float, steps: int, delta: float) -> float:
    """Balle and Wang 2018 (arXiv:1805.06530), theorem 8: exact for the Gaussian mechanism, which is rate 1."""
    mu = np.sqrt(steps) / noise

    def excess(epsilon: float) -> float:
        far = stats.norm.logcdf(-mu / 2 - epsilon / mu) + epsilon
        return float(stats.norm.cdf(mu / 2 - epsilon / mu) - np.exp(far) - delta)

    return float(optimize.brentq(excess, 0, 200))


def by_convolution(noise: float, how: Sampling, delta: float) -> float:
    """Privacy loss of the subsampled Gaussian, discretised and convolved: both directions, coarse and slow."""
    step, size = 1e-3, 2**18
    epsilons = []
    for remove in (True, False):
        t = np.linspace(-12 * noise, 12 * noise + 1, 400_001)
        loss = np.log1p(how.rate * np.expm1((2 * t - 1) / (2 * noise**2)))
        base, moved = stats.norm.pdf(t, 0, noise), stats.norm.pdf(t, 1, noise)
        mixed = (1 - how.rate) * base + how.rate * moved
        mass = (mixed if remove else base) * (t[1] - t[0])
        loss = loss if remove else -loss
        grid = np.bincount(np.rint(loss / step).astype(int) + size // 2, mass, size)[:size]
        spectrum = np.fft.fft(np.fft.ifftshift(grid)) ** how.steps
        summed = np.maximum(np.fft.fftshift(np.fft.ifft(spectrum).real), 0)
        values = (np.arange(size) - size // 2) * step

        def excess(epsilon: float, values: np.ndarray = values, summed: np.ndarray = summed) -> float:
            over = values > epsilon
            return float((summed[over] * -np.expm1(epsilon - values[over])).sum() - delta)

        epsilons.append(optimize.brentq(excess, 0, 60))
    return max(epsilons)


def test_epsilon_against_a_closed_form() -> None:
    for noise, steps in ((20.0, 10), (5.0, 4), (2.0, 20)):
        exact = gaussian_epsilon(noise, steps, 1e-5)
        assert exact <= epsilon_of(noise, Sampling(1.0, steps), 1e-5) <= 1.1 * exact


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "how"), [(1.0, Sampling(0.01, 1000)), (0.8, Sampling(64 / 1350, 300))])
def test_epsilon_against_a_convolution_and_a_second_accountant(noise: float, how: Sampling) -> None:
    slow = by_convolution(noise, how, 1e-5)
    second = PRVAccountant()
    second.history = [(noise, how.rate, how.steps)]
    assert second.get_epsilon(1e-5) == pytest.approx(slow, rel=0.05)
    assert slow <= epsilon_of(noise, how, 1e-5) <= 1.25 * slow, "Renyi's is a bound, not tight"


def test_the_published_figure_of_both_libraries() -> None:
    """Rate 0.01, noise 1, 1,000 steps, delta 1e-5: 2.10 by Renyi divergences in Opacus and in dp-accounting."""
    assert epsilon_of(1.0, Sampling(0.01, 1000), 1e-5) == pytest.approx(2.1014, abs=2e-3)
    assert epsilon_of(0.0, Sampling(0.01, 1000), 1e-5) == float("inf")
    assert epsilon_of(0.05, Sampling(0.05, 1000), 1e-5) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.5, 8.0, 100.0])
def test_noise_for_an_epsilon_gives_that_epsilon(epsilon: float) -> None:
    how = Sampling(64 / 1350, 1000)
    reached = epsilon_of(noise_for(epsilon, how, 1e-5), how, 1e-5)
    assert 0.999 * epsilon <= reached <= epsilon


@pytest.mark.slow
def test_options_and_what_the_report_is_told() -> None:
    assert noise_multiplier(DpSgdOptions(noise_multiplier=1.5), FIT) == 1.5
    assert epsilon_of(noise_multiplier(DpSgdOptions(), FIT), sampling(FIT), 1e-5) == pytest.approx(8, rel=2e-3)
    with pytest.raises(ValueError, match="either epsilon or noise_multiplier"):
        DpSgdOptions(epsilon=1.0, noise_multiplier=1.0)
    assert DEFENCE.check is not None
    [(code, message)] = DEFENCE.check(DpSgdOptions(epsilon=3.0), FIT, mlp())
    assert code == "dp-epsilon"
    for part in ("(3.00, 1e-05)", "21 steps of Poisson sampling at rate 0.16", "Renyi accountant of Opacus"):
        assert part in message
    often = DEFENCE.check(DpSgdOptions(noise_multiplier=1.0, delta=0.1), FIT, mlp())
    assert [code for code, _ in often] == ["dp-epsilon", "dp-delta"]
    assert "nothing is guaranteed" in DEFENCE.check(DpSgdOptions(noise_multiplier=0.0), FIT, mlp())[0][1]


def test_what_mixes_records_is_refused() -> None:
    assert DEFENCE.check is not None
    shared = nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(StudyError, match=r"BatchNorm1d \(1\)[\s\S]*GroupNorm"):
        DEFENCE.check(DpSgdOptions(), FIT, shared)
    with pytest.raises(StudyError, match="BatchNorm"):
        train_stack(jobs(DpSgd(1.0, 1.0, 32.0)), Network(lambda: shared, CPU), DATA)
    with pytest.raises(StudyError, match="statistics kept over batches"):
        DEFENCE.check(DpSgdOptions(), FIT, nn.InstanceNorm2d(3, track_running_stats=True))
    with pytest.raises(StudyError, match="mixup"):
        DEFENCE.check(DpSgdOptions(), replace(FIT, recipe=replace(RECIPE, augment=("mixup",))), mlp())


def test_without_opacus_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opacus.accountants", None)
    with pytest.raises(MissingExtraError, match=r"memberwise\[dp\]"):
        epsilon_of(1.0, Sampling(0.01, 10), 1e-5)
