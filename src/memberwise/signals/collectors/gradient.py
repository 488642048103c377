"""White-box: the norm of each record's gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from memberwise.signals.questions import Access, Extra, Questions
from memberwise.types.arrays import Floats32

if TYPE_CHECKING:
    from torch import Tensor

    from memberwise.models.network import Tensors
    from memberwise.targets.base import Networks

# Numbers of gradients held at once.
CHUNK_VALUES = 16_000_000


@dataclass(frozen=True)
class GradientNorms:
    """``values`` is ``(m, n, 2)`` float32: the norm of the loss's gradient by all parameters, and by the last layer's.

    The loss is the cross-entropy of the true class, in evaluation mode (so that BatchNorm does not mix records), in
    float32, by ``vmap(grad)`` over chunks of records; modules which ``torch.func`` cannot take go record by record.
    The last layer is the last one with parameters, as the module lists them. Only networks whose weights are at hand
    have gradients.
    """

    name: ClassVar[str] = "gradient"
    words: ClassVar[str] = "weights of a network (white-box)"
    most_models: ClassVar[int] = 16

    def asks(self, questions: Questions) -> int:
        """None: it reads the weights."""
        return 0

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        models = access.models.white_box
        if models is None:
            return None
        norms = np.stack([gradient_norms(models, i, questions) for i in range(access.count)])
        return Extra(norms, np.ones(norms.shape[:2], np.int32))


def gradient_norms(models: Networks, i: int, questions: Questions) -> Floats32:
    """``(n, 2)``: of the i-th model, the norms by all parameters and by the last layer's."""
    import torch
    from torch.func import grad, vmap
    from torch.nn.functional import cross_entropy

    network, device = models.network, models.network.device
    params = {name: value[i] for name, value in models.params.items()}
    buffers = {name: value[i] for name, value in models.buffers.items()}
    last = [name.rpartition(".")[0] == list(params)[-1].rpartition(".")[0] for name in params]
    step = max(1, CHUNK_VALUES // sum(value.numel() for value in params.values()))

    def loss(values: Tensors, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(network(values, buffers, x[None], None)[0], y[None])

    def together(x: Tensor, y: Tensor) -> list[Tensor]:
        return list(vmap(grad(loss), in_dims=(None, 0, 0))(params, x, y).values())

    def one_by_one(x: Tensor, y: Tensor) -> list[Tensor]:
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        gradients = [
            torch.autograd.grad(loss(leaves, *pair), list(leaves.values()), materialize_grads=True)
            for pair in zip(x, y, strict=True)
        ]
        return [torch.stack(parts) for parts in zip(*gradients, strict=True)]

    parts = []
    for first in range(0, len(questions.audited), step):
        rows = questions.audited[first : first + step]
        x, y = (torch.from_numpy(a).to(device) for a in (questions.records(rows), questions.y[rows]))
        try:
            gradients = together(x, y)
        except (RuntimeError, ValueError, TypeError, NotImplementedError):
            gradients = one_by_one(x, y)
        squares = torch.stack([g.reshape(len(rows), -1).double().square().sum(1) for g in gradients], 1)
        both = torch.stack([squares.sum(1), squares[:, torch.tensor(last, device=device)].sum(1)], 1)
        parts.append(both.sqrt().float().cpu().numpy())
    return np.concatenate(parts)
