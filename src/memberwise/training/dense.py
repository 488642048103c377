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

Layers = list[tuple[str, nn.Module]]


class DenseUpdate:
    """``update(params, state, batch, keys) -> (gradient, losses, state)`` for a stack, as ``make_update`` gives it.

    ``precision`` is that of the matrix products; losses, gradients handed on and parameters are float32.
    """

    def __init__(self, network: Network, step: Step, precision: torch.dtype) -> None:
        self.layers = dense_layers(network) or []
        self.smoothing, self.precision = step.label_smoothing, precision

    def __call__(self, params: Tensors, state: State, batch: Batch, keys: Tensor) -> tuple[Tensors, Tensor, State]:
        weights = {name: value.to(self.precision) for name, value in params.items()}
        masks = dropout_masks(self.layers, keys, batch.x.shape[1], weights)
        x = batch.x.flatten(2).to(self.precision)
        gradient, losses = dense_gradient(self.layers, weights, x, batch.target, batch.mask, masks, self.smoothing)
        return {name: gradient[name].float() for name in params}, losses, state


def dense_gradient(
    layers: Layers, weights: Tensors, x: Tensor, target: Tensor, mask: Tensor | None, masks: list[Tensor], smooth: float
) -> tuple[Tensors, Tensor]:
    """Gradient of each model's mean loss and the losses ``(m,)``; products in the weights' precision.

    Args:
        x: ``(m, batch, features)``; target: ``(m, batch)`` or ``(m, batch, classes)``; mask: ``(m, batch)`` or None.
        masks: scaled dropout masks, one for each dropout layer.
    """
    logits, kept = dense_forward(layers, weights, x, masks)
    losses, g = dense_losses(logits.float(), target, smooth)
    if mask is None:
        losses, g = losses.mean(1), g / logits.shape[1]
    else:
        count = mask.sum(1, keepdim=True).clamp(min=1)
        losses, g = (losses * mask / count).sum(1), g * (mask / count).unsqueeze(-1)
    gradient: Tensors = {}
    for name, layer, saved, by_output in dense_backward(layers, weights, kept, g.to(x.dtype)):
        gradient[f"{name}.weight"] = torch.bmm(by_output.transpose(1, 2), saved)
        if layer.bias is not None:
            gradient[f"{name}.bias"] = by_output.sum(1)
    return gradient, losses


def dense_forward(layers: Layers, weights: Tensors, x: Tensor, masks: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Logits ``(m, batch, classes)``, and what the backward pass needs of each layer, in order."""
    h, drops = x, iter(masks)
    kept: list[Tensor] = []
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            kept.append(h)
            h = _linear(h, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
        elif isinstance(layer, nn.Dropout):
            kept.append(next(drops))
            h = h * kept[-1]
        else:
            h = torch.relu(h) if isinstance(layer, nn.ReLU) else torch.tanh(h)
            kept.append(h)
    return h, kept


def dense_backward(
    layers: Layers, weights: Tensors, kept: list[Tensor], g: Tensor
) -> list[tuple[str, nn.Linear, Tensor, Tensor]]:
    """Each linear layer from the last to the first: its name, itself, its input and the gradient by its output.

    Args:
        g: ``(m, batch, classes)`` gradient by the logits.
    """
    found: list[tuple[str, nn.Linear, Tensor, Tensor]] = []
    for i in range(len(layers) - 1, -1, -1):
        (name, layer), saved = layers[i], kept[i]
        if isinstance(layer, nn.Linear):
            found.append((name, layer, saved, g))
            g = torch.bmm(g, weights[f"{name}.weight"]) if i else g
        elif isinstance(layer, nn.Dropout):
            g = g * saved
        else:
            g = g * (saved > 0) if isinstance(layer, nn.ReLU) else g * (1 - saved * saved)
    return found


def dense_losses(logits: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """``(m, batch)`` cross-entropies and their gradients by the logits ``(m, batch, classes)``."""
    if target.dim() == 2:
        classes = torch.arange(logits.shape[-1], device=logits.device)
        target = (target.unsqueeze(-1) == classes).to(logits.dtype)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / logits.shape[-1]
    log_p = torch.log_softmax(logits, -1)
    return -(target * log_p).sum(-1), log_p.exp() * target.sum(-1, keepdim=True) - target


def dropout_masks(layers: Layers, keys: Tensor, batch: int, weights: Tensors) -> list[Tensor]:
    """The masks which KeyedDropout would draw, already scaled, ``(m, batch, width)``, one for each dropout layer."""
    masks: list[Tensor] = []
    width, dtype = 0, torch.float32
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            width, dtype = layer.out_features, weights[f"{name}.weight"].dtype
        elif isinstance(layer, nn.Dropout):
            call, shape = len(masks) + 1, (batch, width)
            keep = vmap(lambda key, call=call, shape=shape: uniform(fold(key, call), shape))(keys) >= layer.p
            masks.append(keep.to(dtype) / (1.0 - layer.p))
    return masks


def dense_layers(network: Network) -> Layers | None:
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
    product = torch.bmm(h, weight.transpose(1, 2))
    # Added afterwards: a compiler fuses it with what follows, which it cannot with baddbmm.
    return product if bias is None else product.add_(bias.unsqueeze(1))
