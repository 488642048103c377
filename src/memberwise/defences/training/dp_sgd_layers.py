"""Clipped sums of record gradients layer by layer, from one pass over a batch: no network's record gradients are kept.

What a record adds to a layer's gradient follows from the layer's input and the gradient by its output. Of a linear
layer the norm is that of two vectors (Goodfellow 2015, arXiv:1510.01799) and the weighted sum one product; of a
convolution each record's gradient is one product of its patches (Rochette, Manoel and Tramel 2019, arXiv:1912.06015),
made again for the sum where those of a layer would not fit. Inputs and gradients by outputs serve norms and sums (Bu,
Wang, Zha and Karypis 2022, arXiv:2210.00038). A record's gradient is clipped as it was rounded, and sums are float32,
so that no rounding adds to what a record can change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional

from memberwise.models.network import Network, Tensors
from memberwise.training.steppers.dense import is_changed

# Gradients of single records which one model holds at a time.
BYTES = 32_000_000
KNOWN = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)
Layers = dict[str, nn.Module]


class Passed(NamedTuple):
    """A layer and what went through it: its input and the gradient of the sum of losses by its output, ``(b, ...)``."""

    name: str
    layer: nn.Module
    x: Tensor
    g: Tensor

    @property
    def is_outer(self) -> bool:
        """A record's gradient is the product of two vectors."""
        return isinstance(self.layer, nn.Linear) and self.x.dim() == 2

    @property
    def bytes(self) -> int:
        """Of one record's gradient."""
        return self.g.element_size() * sum(value.numel() for value in self.layer.parameters())

    def parts(self) -> Iterator[tuple[slice, Passed]]:
        """Parts of the batch whose record gradients take half of the bytes; the other half is for those kept."""
        size = max(1, BYTES // 2 // self.bytes)
        for first in range(0, len(self.x), size):
            part = slice(first, first + size)
            yield part, self._replace(x=self.x[part], g=self.g[part])


def layers_of(module: nn.Module) -> Layers | None:
    """The layers that hold the trainable parameters, by name; None where one is of another kind, or shares or freezes.

    What else the module does is torch's to differentiate.
    """
    layers = {
        name: part
        for name, part in module.named_modules(remove_duplicate=False)
        if any(value is not None for value in part._parameters.values())
    }
    if not layers or not all(type(part) in KNOWN and _is_plain(part) for part in layers.values()):
        return None
    held = [value for part in layers.values() for value in part._parameters.values() if value is not None]
    trained = [value for value in module.parameters() if value.requires_grad]
    return layers if len(held) == len(trained) == len({id(value) for value in held}) else None


def _is_plain(part: nn.Module) -> bool:
    """Nothing about a layer is out of the ordinary that what is written here would not do."""
    if is_changed(part) or part._modules or part._buffers or set(part._parameters) != {"weight", "bias"}:
        return False
    if part._parameters["weight"] is None:
        return False
    return not isinstance(part, nn.Conv2d) or (part.padding_mode == "zeros" and not isinstance(part.padding, str))


def passed_through(
    network: Network,
    layers: Layers,
    params: Tensors,
    buffers: Tensors,
    x: Tensor,
    key: Tensor,
    losses_of: Callable[[Tensor], Tensor],
) -> tuple[list[Passed], Tensor] | None:
    """What went through each layer, and the records' losses ``(b,)``; None where a layer is used otherwise than once.

    Args:
        x: ``(b, ...)``. losses_of: of ``(b, C)`` logits.
    """
    shapes = _outputs(network, layers, params, buffers, x, key)
    if shapes is None:
        return None
    # Nothing is added to each output; the losses' gradient by it is that by the output. It takes no memory.
    nothing = {
        name: torch.zeros((), dtype=kind, device=x.device).expand(len(x), *shape)
        for name, (shape, kind) in shapes.items()
    }

    def total(added: Tensors) -> tuple[Tensor, tuple[Tensors, Tensor]]:
        inputs: Tensors = {}

        def see(name: str, given: tuple[Tensor, ...], answer: Tensor) -> Tensor:
            inputs[name] = given[0]
            return answer + added[name]

        losses = losses_of(_watched(network, layers, params, buffers, x, key, see))
        return losses.sum(), (inputs, losses)

    by_output, (inputs, losses) = grad(total, has_aux=True)(nothing)
    passed = [
        Passed(name, layer, inputs[name].to(by_output[name].dtype), by_output[name]) for name, layer in layers.items()
    ]
    return passed, losses


Shapes = dict[str, tuple[torch.Size, torch.dtype]]


def _outputs(
    network: Network, layers: Layers, params: Tensors, buffers: Tensors, x: Tensor, key: Tensor
) -> Shapes | None:
    """Shape (of a record's) and type of each layer's output; None where one is used otherwise than once."""
    about = ("outputs of layers", tuple(x.shape[1:]), network.precision)
    if about not in network.trials:
        seen: list[tuple[str, tuple[torch.Size, torch.dtype]]] = []

        def see(name: str, _: tuple[Tensor, ...], answer: Tensor) -> None:
            seen.append((name, (answer.shape[1:], answer.dtype)))

        with torch.no_grad():
            _watched(network, layers, params, buffers, x[:1], key, see)
        network.trials[about] = dict(seen) if sorted(name for name, _ in seen) == sorted(layers) else None
    shapes: Shapes | None = network.trials[about]
    return shapes


def _watched(
    network: Network,
    layers: Layers,
    params: Tensors,
    buffers: Tensors,
    x: Tensor,
    key: Tensor,
    see: Callable[[str, tuple[Tensor, ...], Tensor], Tensor | None],
) -> Tensor:
    """Logits; ``see`` is called with each layer's name, inputs and output, which it may replace."""
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hook = layer.register_forward_hook(lambda _, given, answer, name=name: see(name, given, answer))
            hooks.callback(hook.remove)
        return network(params, buffers, x, key)[0]


def clipped_sum(passed: list[Passed], weights_of: Callable[[Tensor], Tensor]) -> Tensors:
    """The sum of record gradients, each times its weight, by parameter.

    Args:
        weights_of: ``(b,)`` weights of records by the ``(b,)`` norms of their gradients.
    """
    room, squares, kept = BYTES // 2, [], {}
    for one in passed:
        if one.is_outer:
            squares.append(_outer_squares(one))
            continue
        needed, whole = len(one.x) * one.bytes, []
        norms = []
        for _, part in one.parts():
            gradients = record_gradients(part)
            norms.append(_squares(gradients))
            if needed <= room:
                whole.append(gradients)
        squares.append(torch.cat(norms))
        if whole:
            room, kept[one.name] = room - needed, whole[0]
    weights = weights_of(torch.stack(squares).sum(0).sqrt())
    total: Tensors = {}
    for one in passed:
        if one.is_outer:
            weighted = weights[:, None] * one.g.float()
            sums = {"weight": weighted.T @ one.x.float(), "bias": weighted.sum(0)}
        elif one.name in kept:
            sums = _weighted(kept[one.name], weights)
        else:
            parts = [_weighted(record_gradients(part), weights[place]) for place, part in one.parts()]
            sums = {kind: torch.stack([part[kind] for part in parts]).sum(0) for kind in parts[0]}
        has_bias = one.layer.bias is not None
        total |= {f"{one.name}.{kind}".removeprefix("."): v for kind, v in sums.items() if has_bias or kind != "bias"}
    return total


def _outer_squares(one: Passed) -> Tensor:
    """``(b,)`` squared norms of a linear layer's record gradients."""
    x, g = one.x.float(), one.g.float()
    squares: Tensor = g.square().sum(1) * (x.square().sum(1) + (one.layer.bias is not None))
    return squares


def _squares(gradients: Tensors) -> Tensor:
    return torch.stack([value.float().flatten(1).square().sum(1) for value in gradients.values()]).sum(0)


def _weighted(gradients: Tensors, weights: Tensor) -> Tensors:
    return {kind: torch.einsum("b,b...->...", weights, value.float()) for kind, value in gradients.items()}


def record_gradients(one: Passed) -> Tensors:
    """``(b, ...)`` gradients of one layer, by "weight" and "bias"."""
    layer, x, g = one.layer, one.x, one.g
    if isinstance(layer, nn.Conv2d):
        by_place = g.flatten(2).unflatten(1, (layer.groups, -1))
        weight = (by_place @ patches(x, layer, g.shape[2:]).mT).reshape(len(x), *layer.weight.shape)
        bias = by_place.float().sum(-1).flatten(1)
    elif isinstance(layer, nn.Linear):
        x, g = x.flatten(1, -2), g.flatten(1, -2)
        weight, bias = g.mT @ x, g.float().sum(1)
    elif isinstance(layer, nn.GroupNorm):
        x, g = x.float(), g.float()
        normal = functional.group_norm(x, layer.num_groups, eps=layer.eps)
        weight, bias = (g * normal).flatten(2).sum(2), g.flatten(2).sum(2)
    else:
        assert isinstance(layer, nn.LayerNorm)
        x, g = x.float(), g.float()
        normal = functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        # (records, places, features), of which there may be one place.
        shape = (len(x), -1, *layer.normalized_shape)
        weight, bias = (g * normal).reshape(shape).sum(1), g.reshape(shape).sum(1)
    return {"weight": weight} if layer.bias is None else {"weight": weight, "bias": bias}


def patches(x: Tensor, layer: nn.Conv2d, size: torch.Size) -> Tensor:
    """What a convolution's filters see, ``(b, groups, C / groups k l, H' W')``, for outputs of ``(H', W')``.

    As ``functional.unfold``, of whole planes at once: measured two to four times as fast.
    """
    (up, left), (down, right) = (layer.padding[0], layer.padding[1]), layer.stride
    x = functional.pad(x, (int(left), int(left), int(up), int(up)))
    planes = [
        x[:, :, i : i + down * (size[0] - 1) + 1 : down, j : j + right * (size[1] - 1) + 1 : right]
        for i in range(0, layer.kernel_size[0] * layer.dilation[0], layer.dilation[0])
        for j in range(0, layer.kernel_size[1] * layer.dilation[1], layer.dilation[1])
    ]
    seen: Tensor = torch.stack(planes, 2).flatten(3).flatten(1, 2).unflatten(1, (layer.groups, -1))
    return seen
