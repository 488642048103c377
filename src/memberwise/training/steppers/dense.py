"""The step of a stack of fully connected networks, written out: no autograd, products in bfloat16 or float32, float32
master weights.

It stands beside the general path (``vmap`` over any module) for what it is faster at; both train the same models.
Gradients of cross-entropy after softmax, ReLU, Tanh and dropout are the textbook ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import vmap

from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold, kept, uniform
from memberwise.training.step import LOSSES, Batch, State, Step

Layers = list[tuple[str, nn.Module]]
_KNOWN = (nn.Linear, nn.ReLU, nn.Tanh, nn.Dropout)


class DenseUpdate:
    """``update(params, state, batch, keys) -> (gradient, losses, state)`` for a stack, as ``make_update`` gives it.

    ``precision`` is that of the matrix products; losses, gradients handed on and parameters are float32.
    """

    def __init__(self, network: Network, step: Step, precision: torch.dtype) -> None:
        self.layers = dense_layers(network) or []
        self.step, self.precision = step, precision

    def __call__(self, params: Tensors, state: State, batch: Batch, keys: Tensor) -> tuple[Tensors, Tensor, State]:
        weights = {name: value.to(self.precision) for name, value in params.items()}
        masks = dropout_masks(self.layers, keys, batch.x.shape[1], weights)
        x = batch.x.flatten(2).to(self.precision)
        gradient, losses, each = gradient_of(self.step, self.layers, weights, x, batch.target, batch.mask, masks, keys)
        if LOSSES in state.own:
            state = state._replace(own={**state.own, LOSSES: each})
        return {name: gradient[name].float() for name in params}, losses, state


def gradient_of(
    step: Step,
    layers: Layers,
    weights: Tensors,
    x: Tensor,
    target: Tensor,
    mask: Tensor | None,
    masks: list[Tensor],
    keys: Tensor,
    together: bool = False,
) -> tuple[Tensors, Tensor, Tensor]:
    """``dense_gradient`` of plain training, or the step's own.

    Args:
        x: ``(m, batch, features)``. keys: ``(m,)``, for a step that draws; see ``Step.dense_gradient``.
    """
    if type(step) is Step:
        return dense_gradient(layers, weights, x, target, mask, masks, step.label_smoothing)
    return step.dense_gradient(layers, weights, x, target, mask, masks, keys, together)


def dense_gradient(
    layers: Layers, weights: Tensors, x: Tensor, target: Tensor, mask: Tensor | None, masks: list[Tensor], smooth: float
) -> tuple[Tensors, Tensor, Tensor]:
    """Gradient of each model's mean loss, these ``(m,)``, and each record's loss ``(m, batch)``.

    Products are in the weights' precision.

    Args:
        x: ``(m, batch, features)``; target: ``(m, batch)`` or ``(m, batch, classes)``; mask: ``(m, batch)`` or None.
        masks: scaled dropout masks, one for each dropout layer.
    """
    logits, kept = dense_forward(layers, weights, x, masks)
    each, g = dense_losses(logits.float(), target, smooth)
    if mask is None:
        losses, g = each.mean(1), g / logits.shape[1]
    else:
        count = mask.sum(1, keepdim=True).clamp(min=1)
        losses, g = (each * mask / count).sum(1), g * (mask / count).unsqueeze(-1)
    gradient: Tensors = {}
    for name, layer, saved, by_output in dense_backward(layers, weights, kept, g.to(x.dtype)):
        gradient[f"{name}.weight"] = torch.bmm(by_output.transpose(1, 2), saved)
        if layer.bias is not None:
            gradient[f"{name}.bias"] = by_output.sum(1)
    return gradient, losses, each


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
    factors: list[tuple[str, nn.Linear, Tensor, Tensor]] = []
    for i in range(len(layers) - 1, -1, -1):
        (name, layer), saved = layers[i], kept[i]
        if isinstance(layer, nn.Linear):
            factors.append((name, layer, saved, g))
            g = torch.bmm(g, weights[f"{name}.weight"]) if i else g
        elif isinstance(layer, nn.Dropout):
            g = g * saved
        else:
            g = g * (saved > 0) if isinstance(layer, nn.ReLU) else g * (1 - saved * saved)
    return factors


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
    width, dtype, call = 0, torch.float32, 0
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            width, dtype = layer.out_features, weights[f"{name}.weight"].dtype
        elif isinstance(layer, nn.Dropout):
            shape = (batch, width)
            call += layer.p > 0  # what drops nothing draws nothing
            drawn: Tensor = vmap(lambda key, call=call, shape=shape: uniform(fold(key, call), shape))(keys)
            masks.append(kept(drawn, layer.p, dtype))
    return masks


def dense_layers(network: Network) -> Layers | None:
    """The layers of a plain fully connected network with their names, or None for any other module.

    An activation may stand in several places; a weight is ``(outs, ins)``. None as well where the network is to train
    by the general path.
    """
    if network.general or why_not_written_out(network.module) is not None:
        return None
    return _layers(network.module)


def why_not_written_out(module: nn.Module) -> str | None:
    """What about a fully connected network is out of the ordinary, so that its step is not written out, or None.

    None for a module of any other kind too: nobody expects a written-out step for it.
    """
    layers = _layers(module)
    if layers is None:
        return None
    if _hooks_on_all():
        return "hooks on all modules"
    for name, part in [("the module itself", module), *module._modules.items()]:
        unusual = _unusual(part) if part is not None else "is None"
        if unusual is not None:
            return f"{name} {unusual}"
    linear = [(name, layer) for name, layer in layers if isinstance(layer, nn.Linear)]
    expected = [
        f"{name}.{kind}" for name, layer in linear for kind, value in layer._parameters.items() if value is not None
    ]
    trained = [name for name, value in module.named_parameters() if value.requires_grad]
    if expected != trained:
        missing = ", ".join(sorted(set(expected) ^ set(trained)))
        return f"{missing} frozen, or one tensor in two places"
    return None


def _hooks_on_all() -> bool:
    """Some module hooks are for all modules; they may be, where this torch does not say."""
    return bool(getattr(torch.nn.modules.module, "_has_any_global_hook", lambda: True)())


def _unusual(part: nn.Module) -> str | None:
    """What makes a part compute something else than its class does, as the written-out step knows it; or None."""
    if type(part) not in (nn.Sequential, nn.Flatten, *_KNOWN):
        return f"is a {type(part).__name__}"
    if is_changed(part):
        return "has hooks or methods of its own"
    if not isinstance(part, nn.Linear):
        return "has tensors of its own" if part._parameters or part._buffers else None
    weight, bias = part._parameters.get("weight"), part._parameters.get("bias")
    if weight is None or set(part._parameters) != {"weight", "bias"} or part._buffers or part._modules:
        return "has other tensors than a weight and a bias"
    shapes = [(weight, (part.out_features, part.in_features)), (bias, (part.out_features,))]
    for value, shape in shapes:
        if value is None:
            continue
        if type(value) is not nn.Parameter or value.dtype is not torch.float32 or tuple(value.shape) != shape:
            return "has a parameter of another shape or type than its own"
        if any(getattr(value, kind, True) for kind in ("_backward_hooks", "_post_accumulate_grad_hooks")):
            return "has hooks on its parameters"
    return None


def is_changed(part: nn.Module) -> bool:
    """An object that does something else, or more, than its class says: it has hooks, or methods of its own."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    # Where torch names them otherwise there may be some.
    return any(getattr(part, kind, True) for kind in hooks) or any(
        callable(getattr(type(part), name, None)) for name in vars(part)
    )


def _layers(module: nn.Module) -> Layers | None:
    """The layers of a chain of linear layers and activations, in the order in which they are applied, or None."""
    if type(module) is not nn.Sequential:
        return None
    parts = list(module._modules.items())  # named_children leaves out a module that comes again
    first = parts[0][1] if parts else None
    if type(first) is nn.Flatten and (first.start_dim, first.end_dim) == (1, -1):
        parts = parts[1:]
    layers = [(name, part) for name, part in parts if part is not None]
    known = all(isinstance(part, _KNOWN) for _, part in layers)
    if not layers or not known or not all(isinstance(layers[end][1], nn.Linear) for end in (0, -1)):
        return None
    return layers


def takes_dense(network: Network, step: Step) -> bool:
    """The written-out step may stand in: a plain fully connected network, and plain training or a step that has one."""
    return (type(step) is Step or step.has_dense_gradient(network)) and dense_layers(network) is not None


def _linear(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = torch.bmm(h, weight.transpose(1, 2))
    # Added afterwards: a compiler fuses it with what follows, which it cannot with baddbmm.
    return product if bias is None else product.add_(bias.unsqueeze(1))
