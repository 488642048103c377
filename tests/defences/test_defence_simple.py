"""L1, confidence penalty and train-time logit clipping against their formulas."""

from __future__ import annotations

import pytest
import torch
from defence_cases import batch_of, gradient, linear
from torch.nn import functional

from memberwise.defences.training.confidence_penalty import ConfidencePenaltyStep
from memberwise.defences.training.l1 import L1Step
from memberwise.defences.training.logit_clipping import DEFENCE, LogitClipping, LogitClippingStep
from memberwise.training.step import Step

X, TARGET = torch.tensor([[1.0, 2], [-1, 0.5], [0, 1]]), torch.tensor([0, 2, 1])
WEIGHT, BIAS = torch.tensor([[0.5, -1], [2, 0.1], [-3, 1]]), torch.tensor([0.2, -0.4, 0.3])


def test_l1_adds_signs() -> None:
    network, params = linear(WEIGHT, BIAS)
    batch = batch_of(X, TARGET)
    ours, plain = gradient(L1Step(0.1), network, params, batch), gradient(Step(), network, params, batch)
    for name, value in params.items():
        torch.testing.assert_close(ours[name], plain[name] + 0.1 * value.sign())


def test_confidence_penalty_rewards_entropy() -> None:
    logits = X @ WEIGHT.T + BIAS
    expected = (
        functional.cross_entropy(logits, TARGET) - 0.7 * torch.distributions.Categorical(logits=logits).entropy().mean()
    )
    torch.testing.assert_close(ConfidencePenaltyStep(0.7).losses(logits, TARGET).mean(), expected)


def test_a_clipped_logit_has_no_gradient() -> None:
    """The first record's true logit is above r and the others are below -r: nothing is left to learn."""
    network, params = linear(torch.eye(3))
    done, half = torch.tensor([[5.0, -4, -3]]), torch.tensor([[5.0, 1, -3]])
    step = LogitClippingStep(2.0)
    assert gradient(step, network, params, batch_of(done, torch.tensor([0])))["bias"].abs().max() == 0
    left = gradient(step, network, params, batch_of(half, torch.tensor([0])))["bias"]
    p = torch.softmax(torch.tensor([2.0, 1, -2]), 0)
    torch.testing.assert_close(left, torch.tensor([0, p[1], 0]))
    torch.testing.assert_close(step.losses(half, torch.tensor([0])), -p[:1].log())


def test_the_clipped_model_answers_clipped() -> None:
    assert DEFENCE.answer is not None
    assert DEFENCE.answer(LogitClipping(r=1.5)) == [{"name": "logit-clipping", "r": 1.5, "mode": "clip"}]
    assert DEFENCE.answer(LogitClipping(answer=False)) == []


@pytest.mark.parametrize(("r", "classes", "bound"), [(1.0, 10, 0.451), (2.0, 10, 0.858), (1.0, 2, 0.881)])
def test_the_bound_it_states(r: float, classes: int, bound: float) -> None:
    logits = torch.full((1, classes), -100.0)
    logits[0, 0] = 100
    loss = LogitClippingStep(r).losses(logits, torch.tensor([0]))
    assert float(torch.exp(-loss)) == pytest.approx(bound, abs=5e-4)
