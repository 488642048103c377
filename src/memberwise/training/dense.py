"""The step of a stack of fully connected networks, written out: no autograd, bfloat16 products, float32 master weights.

It stands beside the general path (``vmap`` over any module) for what it is faster at; both train the same models.
Gradients of cross-entropy after softmax, ReLU, Tanh and dropout are the textbook ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import vmap

from memberwise.training.network import Network, Tensors
from memberwise.training.randomness import fold, uniform
from memberwise.training.step import Batch, State, Step


class DenseUpdate:
    """``update(params, state, batch, keys) -> (gradient, losses, state)`` for a stack, as ``make_update`` gives it.

    ``precision`` is that of the matrix products; losses, gradients handed on and parameters are float32.
    """

    def __init__(self, network: Network, step: Step, precision: torch.dtype) -> None:
        self.layers = dense_layers(network) or []
        self.smoothing, self.precision = step.label_smoothing, precision

    def __call__(self, params: Tensors, state: State, batch: Batch, keys: Tensor) -> tuple[Tensors, Tensor, State]:
        weights = {name: value.to(self.precision) for name, value in params.items()}
        h = batch.x.flatten(2).to(self.precision)
        kept: list[Tensor] = []  # what the backward pass needs of each layer, in order
        drops = 0
        for name, layer in self.layers:
            if isinstance(layer, nn.Linear):
                kept.append(h)
                h = _linear(h, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
            elif isinstance(layer, nn.Dropout):
                drops += 1
                mask = _dropout_mask(keys, drops, h, layer.p)
                kept.append(mask)
                h = h * mask
            else:
                h = torch.relu_(h) if isinstance(layer, nn.ReLU) else torch.tanh_(h)
                kept.append(h)
        losses, g = self._loss(h.float(), batch)
        gradient: Tensors = {}
        g = g.to(self.precision)
        for i in range(len(self.layers) - 1, -1, -1):
            (name, layer), saved = self.layers[i], kept[i]
            if isinstance(layer, nn.Linear):
                gradient[f"{name}.weight"] = torch.bmm(g.transpose(1, 2), saved).float()
                if layer.bias is not None:
                    gradient[f"{name}.bias"] = g.sum(1).float()
                g = torch.bmm(g, weights[f"{name}.weight"]) if i else g
            elif isinstance(layer, nn.Dropout):
                g = g * saved
            else:
                g = g * (saved > 0) if isinstance(layer, nn.ReLU) else g * (1 - saved * saved)
        return {name: gradient[name] for name in params}, losses, state

    def _loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of each model ``(m,)`` and its gradient by the logits ``(m, batch, classes)``."""
        target = batch.target
        if target.dim() == 2:
            target = torch.zeros_like(logits).scatter_(2, target.unsqueeze(-1), 1.0)
        if self.smoothing:
            target = target * (1 - self.smoothing) + self.smoothing / logits.shape[-1]
        log_p = torch.log_softmax(logits, -1)
        losses, g = -(target * log_p).sum(-1), log_p.exp() * target.sum(-1, keepdim=True) - target
        if batch.mask is None:
            return losses.mean(1), g / logits.shape[1]
        count = batch.mask.sum(1, keepdim=True).clamp(min=1)
        return (losses * batch.mask / count).sum(1), g * (batch.mask / count).unsqueeze(-1)


def dense_layers(network: Network) -> list[tuple[str, nn.Module]] | None:
    """The layers of a plain fully connected network with their names, or None for any other module."""
    module = network.module
    if type(module) is not nn.Sequential or any(True for _ in module.buffers()):
        return None
    layers = [(name, layer) for name, layer in module.named_children() if type(layer) is not nn.Flatten]
    if not layers or any(type(layer) not in (nn.Linear, nn.ReLU, nn.Tanh, nn.Dropout) for _, layer in layers):
        return None
    flat = [layer for layer in module if type(layer) is nn.Flatten]
    starts = isinstance(module[0], nn.Flatten) if flat else True
    plain = all((layer.start_dim, layer.end_dim) == (1, -1) for layer in flat)
    ends = isinstance(layers[0][1], nn.Linear) and isinstance(layers[-1][1], nn.Linear)
    return layers if len(flat) <= 1 and starts and plain and ends else None


def takes_dense(network: Network, step: Step) -> bool:
    """The written-out step may stand in: a plain fully connected network and plain training."""
    return type(step) is Step and dense_layers(network) is not None


def _linear(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return torch.bmm(h, weight.transpose(1, 2))
    return torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2))


def _dropout_mask(keys: Tensor, call: int, h: Tensor, p: float) -> Tensor:
    """The mask which KeyedDropout would draw, already scaled, ``(m, batch, width)``."""
    shape = tuple(h.shape[1:])
    keep = vmap(lambda key: uniform(fold(key, call), shape))(keys) >= p
    return keep.to(h.dtype) / (1.0 - p)
