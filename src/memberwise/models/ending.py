"""What a model's last layer makes of its logits, told from what it answers: a softmax, sigmoids, or nothing."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from memberwise.errors import Note
from memberwise.models.kinds import Kind, kind_by_range, kind_of_answers
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys

# Parameters are tried so many times larger: logits grow with them, what a softmax or a sigmoid gives does not.
SCALES = (1.0, 4.0, 30.0)


def with_ending(network: Network, x: Tensor) -> Network:
    """The network, knowing what its module answers in evaluation mode and what in training mode.

    Args:
        x: some records ``(n, ...)``, which the module takes.
    """
    other, key = copy.copy(network), step_keys(0, 1)[0].to(x.device)
    other.kind = _ending(network.fresh(0), x, None)
    other.training_kind = _ending(network.fresh(0), x, key)
    return other


@torch.no_grad()
def _ending(network: Network, x: Tensor, key: Tensor | None) -> Kind:
    """What the module answers with its initial parameters (of one that is trained: its own) and with larger ones."""
    params, buffers = network.init(0)
    answers = []
    for scale in SCALES:
        larger = {name: scale * value for name, value in params.items()}
        try:
            with torch.random.fork_rng(devices=[]):  # the caller's generator is the caller's
                values = network.answer(larger, buffers, x, key)[0].double().cpu().numpy()
        except Exception:  # what fails says so when it is trained or asked
            return "logits"
        answers += [values] if np.isfinite(values).all() else []
    if answers and all(kind_of_answers(values) == "probabilities" for values in answers):
        return "probabilities"
    return kind_by_range(np.concatenate(answers)) if len(answers) > 1 else "logits"


def ending_notes(name: str, network: Network) -> list[Note]:
    """A warning where a module's answers are no logits."""
    if "logits" == network.kind == network.training_kind:
        return []
    kind = network.training_kind if network.kind == "logits" else network.kind
    ends = (
        "ends in a softmax: its answers are not negative and sum to 1, and"
        if kind == "probabilities"
        else ("ends in sigmoids: its answers lie between 0 and 1 and do not sum to 1, and")
    )
    message = f"{name} {ends} are taken as {kind}, not as logits, in attacks and in training's cross-entropy"
    return [Note(f"answers-are-{kind}", f"{message}; a model without that last layer gives attacks its logits")]
