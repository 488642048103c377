"""Torch's optimisers by their functional form: the same updates, without its compiler, which their classes import."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

# Of torch.optim.Adam and AdamW.
BETAS, EPS = (0.9, 0.999), 1e-8


class Sgd:
    """The steps of ``torch.optim.SGD``, to the last bit."""

    def __init__(self, params: Sequence[Tensor], momentum: float, nesterov: bool, weight_decay: float) -> None:
        self._params, self._momentum, self._nesterov, self._decay = params, momentum, nesterov, weight_decay
        self._fused = is_fused(params)
        self._buffers: list[Tensor | None] = [None] * len(params)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rate: float) -> None:
        """Update the parameters in place; one whose gradient, ``(...,)`` as it is, is None stays as it is."""
        places = [i for i, gradient in enumerate(gradients) if gradient is not None]
        buffers = [self._buffers[i] for i in places] if self._momentum else []
        sgd(
            [self._params[i] for i in places],
            [gradient for gradient in gradients if gradient is not None],
            buffers,
            foreach=False,
            fused=self._fused,
            weight_decay=self._decay,
            momentum=self._momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
        )
        for i, buffer in zip(places, buffers, strict=False):  # none are kept without momentum
            self._buffers[i] = buffer


class Adam:
    """The steps of ``torch.optim.Adam``, or with ``decoupled`` weight decay of ``AdamW``, to the last bit."""

    def __init__(self, params: Sequence[Tensor], weight_decay: float, decoupled: bool) -> None:
        self._params, self._decay, self._decoupled = params, weight_decay, decoupled
        self._fused = is_fused(params)
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p), self._count(p)) for p in params]

    def _count(self, param: Tensor) -> Tensor:
        return torch.zeros((), dtype=torch.float32, device=param.device if self._fused else "cpu")

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rate: float) -> None:
        """Update the parameters in place; one whose gradient, ``(...,)`` as it is, is None stays as it is."""
        places = [i for i, gradient in enumerate(gradients) if gradient is not None]
        adam(
            [self._params[i] for i in places],
            [gradient for gradient in gradients if gradient is not None],
            [self._moments[i][0] for i in places],
            [self._moments[i][1] for i in places],
            [],
            [self._moments[i][2] for i in places],
            foreach=False,
            fused=self._fused,
            decoupled_weight_decay=self._decoupled,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=self._decay,
            eps=EPS,
            maximize=False,
        )


def is_fused(params: Sequence[Tensor]) -> bool:
    """Torch has one kernel for the whole update of float32 parameters, ``(...,)`` each."""
    return all(p.dtype is torch.float32 for p in params)
