"""Adversarial regularisation: who moves when, both forms of the game, Adam and averages against torch's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, RECIPE, difference, jobs, mlp, records
from torch import nn

from memberwise.defences.training.adversarial_regularisation import (
    DEFENCE,
    AdversarialRegularisation,
    AdversarialRegularisationOptions,
    averaged,
)
from memberwise.defences.training.averaging import Averaged
from memberwise.defences.training.base import Fit
from memberwise.defences.training.inference_network import LAYERS, InferenceNetwork, adam, adam_start
from memberwise.errors import StudyError, TrainingError
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.models.threads import threads_of
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.step import Batch, State, Step

DATA, NETWORK, REFERENCE = records(200), mlp(), np.arange(120, 200)
FIT = Fit(CLASSES, 50, RECIPE)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield


def game(**options: Any) -> AdversarialRegularisation:
    return AdversarialRegularisation(AdversarialRegularisationOptions(**options), FIT)


def playing(step: Step, count: int = 2) -> list[Job]:
    return [replace(job, reference=REFERENCE) for job in jobs(step, count)]


def first_step(step: AdversarialRegularisation) -> tuple[dict[str, torch.Tensor], State, Batch, torch.Tensor]:
    """A model at its start and its first batch, without the dimension of the stack."""
    [job] = playing(step, 1)
    batch, keys = next(Feed([job], NETWORK, DATA).epoch(0))
    alone = Batch(
        *(None if part is None else tuple(p[0] for p in part) if isinstance(part, tuple) else part[0] for part in batch)  # type: ignore[arg-type]
    )
    params, buffers = NETWORK.init(job.seed)
    return params, State(buffers, step.init(NETWORK, 50, keys[0])), alone, keys[0]


@pytest.mark.slow
def test_weight_0_is_plain_training_but_for_rounding() -> None:
    ours = train_stack(playing(game(weight=0.0, average=1)), NETWORK, DATA)
    plain = train_stack(playing(Step()), NETWORK, DATA)
    assert difference(ours, 0, plain, 0) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("form", ["paper", "released"])
def test_a_stack_equals_its_models_alone_and_differs_from_plain(form: str) -> None:
    wanted = playing(game(weight=2.0, attack_steps=2, form=form, average=5), 3)
    stack = train_stack(wanted, NETWORK, DATA)
    alone = train_stack(wanted[1:2], NETWORK, DATA, stacked=False)
    assert difference(stack, 1, alone, 0) < 1e-4
    assert difference(stack, 1, train_stack(playing(Step(), 3), NETWORK, DATA), 1) > 1e-3


def test_each_player_moves_in_its_own_step_alone() -> None:
    step = game(weight=2.0, attack_steps=3)
    params, state, batch, key = first_step(step)
    gradient, _, after = step.update(NETWORK, params, state, batch, key)
    assert set(gradient) == set(params)
    moved = {name for name, value in after.own.items() if not torch.equal(value, state.own[name])}
    assert moved >= {name for name in state.own if name.startswith("h:") and name.endswith("weight")}
    assert float(after.own["adam:steps"]) == 3.0
    frozen = state._replace(own=after.own)
    _, again = step.loss(NETWORK, params, frozen, batch, key)
    assert all(torch.equal(value, after.own[name]) for name, value in again.own.items())


def test_the_paper_form_by_hand() -> None:
    """Attack steps by torch's Adam on modules of its own, then the classifier's loss by the formula."""
    step = game(weight=1.5, attack_steps=2, attack_rate=0.01)
    params, state, batch, key = first_step(step)
    gradient, loss, after = step.update(NETWORK, params, state, batch, key)
    attack = {name: value.clone().requires_grad_() for name, value in state.own.items() if name.startswith("h:")}
    optimiser = torch.optim.Adam(list(attack.values()), lr=0.01)

    def h(answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hot = nn.functional.one_hot(labels, CLASSES).float()

        def layer(name: str, x: torch.Tensor) -> torch.Tensor:
            return x @ attack[f"h:{name}.weight"].T + attack[f"h:{name}.bias"]

        left = layer("answer.1", layer("answer.0", answers).relu()).relu()
        both = torch.cat([left, layer("label.0", hot).relu()], -1)
        return layer("joined.1", layer("joined.0", both).relu()).squeeze(-1).sigmoid()

    for i in range(2):
        optimiser.zero_grad()
        sides = []
        for x, y in (batch.members, batch.reference):  # type: ignore[misc]
            answers = NETWORK(params, {}, x[i], None)[0].softmax(-1)
            sides.append(h(answers, y[i]))
        gain = 0.5 * (sides[0].log().mean() + (1 - sides[1]).log().mean())
        (-gain).backward()
        optimiser.step()
    for name, value in attack.items():
        torch.testing.assert_close(after.own[name], value.detach(), atol=1e-5, rtol=1e-3)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    logits, _ = NETWORK(leaves, {}, batch.x, key)
    total = nn.functional.cross_entropy(logits, batch.target) + 1.5 * h(logits.softmax(-1), batch.target).log().mean()
    torch.testing.assert_close(loss, total.detach(), atol=1e-5, rtol=1e-4)
    for name, slow in zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True):
        torch.testing.assert_close(gradient[name], slow, atol=1e-5, rtol=1e-3)


def test_the_forms_differ_as_listed() -> None:
    logits, labels = torch.tensor([[2.0, -1.0, 0.5, 0.0]]), torch.eye(CLASSES)[:1]
    paper, released = game(weight=1.0), game(weight=1.0, form="released")
    torch.testing.assert_close(paper._seen(logits), logits.softmax(-1))
    assert torch.equal(released._seen(logits), logits)
    h = paper.attack.init(step_keys(3, 1)[0])
    inside, outside = (logits, labels), (-logits, labels)
    p, q = (float(paper.attack(h, *side).sigmoid()) for side in (inside, outside))
    assert float(paper._attack_loss(h, inside, outside)) == pytest.approx(-0.5 * (np.log(p) + np.log(1 - q)), rel=1e-4)
    assert float(released._attack_loss(h, inside, outside)) == pytest.approx(0.5 * ((1 - p) ** 2 + q**2), rel=1e-4)
    params, state, batch, key = first_step(released)
    for epoch, weight in ((0, 0.0), (1, 1.0)):
        loss, _ = released.loss(NETWORK, params, state, batch._replace(epoch=torch.tensor(epoch)), key)
        out, _ = NETWORK(params, {}, batch.x, key)
        h = {name.removeprefix("h:"): v for name, v in state.own.items() if name.startswith("h:")}
        gain = released.attack(h, out, torch.eye(CLASSES)[batch.target]).sigmoid().mean()
        plain = nn.functional.cross_entropy(out, batch.target)
        torch.testing.assert_close(loss, plain + weight * (gain - 0.5))


def test_the_form_of_the_cifar_release() -> None:
    """Members are 0 to the attack, labels -1 and 1; from the fifth epoch f pays weight * mean (h - 1)^2."""
    step = game(weight=1.5, form="released-cifar")
    labels = torch.tensor([2, 0])
    coded = 2 * nn.functional.one_hot(labels, CLASSES).float() - 1
    assert torch.equal(step._coded(labels), coded)
    h = step.attack.init(step_keys(3, 1)[0])
    inside, outside = (torch.randn(2, CLASSES), coded), (torch.randn(2, CLASSES), coded)
    p, q = (step.attack(h, *side).sigmoid() for side in (inside, outside))
    squared = nn.functional.mse_loss(torch.cat([p, q]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(step._attack_loss(h, inside, outside), squared)
    params, state, batch, key = first_step(step)
    for epoch, weight in ((0, 0.0), (3, 0.0), (4, 1.5)):
        loss, _ = step.loss(NETWORK, params, state, batch._replace(epoch=torch.tensor(epoch)), key)
        out, _ = NETWORK(params, {}, batch.x, key)
        h = {name.removeprefix("h:"): v for name, v in state.own.items() if name.startswith("h:")}
        answer = step.attack(h, out, 2 * torch.eye(CLASSES)[batch.target] - 1).sigmoid()
        plain = nn.functional.cross_entropy(out, batch.target)
        torch.testing.assert_close(loss, plain + weight * (answer - 1).pow(2).mean())


@pytest.mark.parametrize(("form", "epochs"), [("paper", 5), ("released", 1), ("released-cifar", 1)])
def test_released_forms_keep_last_epoch_and_paper_form_mean(form: Any, epochs: int) -> None:
    assert averaged(AdversarialRegularisationOptions(form=form)) == epochs
    assert averaged(AdversarialRegularisationOptions(form=form, average=3)) == 3


@pytest.mark.slow
def test_the_attack_learns_what_can_be_told() -> None:
    """Members answered surely and others not: above 95 % are told apart; with the same answers about half.

    Of 600 records it has not learned from, of which 50 % +- 7.5 % (3.7 sigma) are right by chance.
    """
    network, rng = InferenceNetwork(CLASSES, "texas"), np.random.default_rng(0)
    labels = torch.eye(CLASSES)[torch.from_numpy(rng.integers(0, CLASSES, 800))]
    vague = torch.from_numpy(rng.dirichlet(np.ones(CLASSES), 800).astype(np.float32))
    member, learned = torch.arange(800) % 2 == 0, torch.arange(800) < 200
    told = torch.where(member[:, None], 0.7 * labels + 0.3 * vague, vague)
    for answers, least, most in ((told, 0.95, 1.0), (vague, 0.425, 0.575)):
        h = network.init(step_keys(1, 1)[0])
        memory = adam_start(h)

        def loss(values: dict[str, torch.Tensor], answers: torch.Tensor = answers) -> torch.Tensor:
            odds = network(values, answers[learned], labels[learned])
            return nn.functional.binary_cross_entropy_with_logits(odds, member[learned].float())

        for _ in range(60):
            h, memory = adam(h, torch.func.grad(loss)(h), memory, 1e-3)
        right = float(((network(h, answers, labels) > 0) == member)[~learned].float().mean())
        assert least <= right <= most


@pytest.mark.parametrize("size", ["texas", "purchase", "alexnet"])
def test_the_attack_has_the_released_layers(size: Any) -> None:
    h = InferenceNetwork(100, size).init(step_keys(0, 1)[0])
    shapes = [tuple(value.shape) for name, value in h.items() if name.endswith("weight")]
    expected = {
        "texas": [(512, 100), (64, 512), (64, 100), (64, 128), (1, 64)],
        "purchase": [
            *[(1024, 100), (512, 1024), (64, 512), (128, 100), (64, 128)],
            *[(512, 128), (256, 512), (128, 256), (64, 128), (1, 64)],
        ],
        "alexnet": [
            *[(1024, 100), (512, 1024), (64, 512), (128, 100), (64, 128)],
            *[(256, 128), (128, 256), (64, 128), (1, 64)],
        ],
    }
    assert shapes == expected[size]
    assert set(LAYERS) == set(expected)


def test_the_model_is_the_mean_of_its_last_epochs() -> None:
    seen: list[torch.Tensor] = []

    class Watched(Averaged):
        def after_epoch(self, network: Any, params: Any, state: Any, epoch: Any) -> Any:
            seen.append(params["norm.weight"].clone())
            seen.append(state.buffers["norm.running_mean"].clone())
            return super().after_epoch(network, params, state, epoch)

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.BatchNorm1d(12), nn.Linear(12, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.out(self.norm(x))
            return out

    network = Network(Normed, torch.device("cpu"))
    trained = train_stack(jobs(Watched(3, 2), 1), network, DATA, stacked=False)
    torch.testing.assert_close(trained.params["norm.weight"][0], (seen[2] + seen[4]) / 2)
    torch.testing.assert_close(trained.buffers["norm.running_mean"][0], (seen[3] + seen[5]) / 2)
    assert float((seen[4] - seen[0]).abs().max()) > 1e-3
    assert Averaged(3, 5).average == 3


def test_a_mean_of_epochs_does_not_go_with_one_chosen_epoch() -> None:
    assert DEFENCE.check is not None
    patient, module = replace(FIT, recipe=replace(RECIPE, patience=2)), nn.Linear(12, CLASSES)
    with pytest.raises(StudyError, match=r"average=1, or leave training\.patience out"):
        DEFENCE.check(AdversarialRegularisationOptions(), patient, module)
    assert DEFENCE.check(AdversarialRegularisationOptions(average=1), patient, module) == []
    assert DEFENCE.check(AdversarialRegularisationOptions(), FIT, module) == []
    single = replace(patient, recipe=replace(patient.recipe, epochs=1))
    assert DEFENCE.check(AdversarialRegularisationOptions(), single, module) == []


def test_the_game_is_played_with_reference_records() -> None:
    assert DEFENCE.roles == ("reference",)
    with pytest.raises(TrainingError, match="reference records"):
        train_stack(jobs(game(), 1), NETWORK, DATA)
