"""Modules that are nearly ordinary: each has one thing about it that a written-out step could overlook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Make = Callable[[], nn.Module]


class Steep(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return 3 * super().forward(input)


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Residual(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + input[..., :1]  # type: ignore[no-any-return, no-untyped-call]


class Scaled(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * 1.5


class Moving(nn.Module):
    """A buffer that moves with every step, whatever the records are."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.scale = self.scale * 1.1  # type: ignore[has-type]
        return x * self.scale  # type: ignore[no-any-return]


def activation(kind: str, shared: dict[str, nn.Module]) -> nn.Module:
    if kind.startswith("same "):
        return shared.setdefault(kind, nn.ReLU() if kind == "same relu" else nn.Tanh())
    return {  # type: ignore[no-any-return, operator]
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "in place": lambda: nn.ReLU(inplace=True),
        "steep": Steep,
        "gelu": nn.GELU,
        "no dropout": lambda: nn.Dropout(0.0),
        "all dropped": lambda: nn.Dropout(1.0),
        "identity": nn.Identity,
        "norm": lambda: nn.LayerNorm(6),
    }[kind]()


ACTIVATIONS = (
    *("relu", "tanh", "same relu", "same tanh", "in place", "steep", "gelu", "no dropout", "all dropped"),
    *("identity", "norm"),
)


def chain(kinds: tuple[str, ...], bias: bool, flat: str) -> nn.Sequential:
    """6 features to 4 classes over as many layers of 6 as there are activations."""
    shared: dict[str, nn.Module] = {}
    parts: list[nn.Module] = [nn.Flatten()] if flat == "first" else []
    for kind in kinds:
        parts += [nn.Linear(6, 6, bias=bias), activation(kind, shared)]
    return nn.Sequential(*parts, *([nn.Flatten()] if flat == "last" else []), nn.Linear(6, 4))


def linear(module: nn.Sequential, place: int = 0) -> nn.Linear:
    layers = [part for part in module if isinstance(part, nn.Linear)]
    return layers[place % len(layers)]


def put(module: nn.Sequential, place: int, part: nn.Module) -> nn.Sequential:
    parts = list(module)
    return nn.Sequential(*parts[:place], part, *parts[place:])


def _hook(register: str, *hook: Any) -> Callable[[nn.Sequential], nn.Module]:
    def change(module: nn.Sequential) -> nn.Module:
        getattr(linear(module), register)(*hook)
        return module

    return change


def _doubled_backwards(module: nn.Sequential) -> nn.Module:
    """Of what goes back into the last layer's input, which only a layer before it sees."""
    linear(module, -1).register_full_backward_hook(lambda part, into, out: (None if into[0] is None else 2 * into[0],))  # type: ignore[index]
    return module


def _frozen(module: nn.Sequential) -> nn.Module:
    linear(module).requires_grad_(False)
    return module


def _frozen_weight(module: nn.Sequential) -> nn.Module:
    linear(module, -1).weight.requires_grad_(False)
    return module


def _frozen_bias(module: nn.Sequential) -> nn.Module:
    layer = linear(module, -1)
    assert layer.bias is not None
    layer.bias.data = torch.linspace(-2, 2, len(layer.bias))
    layer.bias.requires_grad_(False)
    return module


def _tied(module: nn.Sequential) -> nn.Module:
    added = nn.Linear(6, 6)
    added.weight = linear(module).weight if linear(module).out_features == 6 else added.weight
    return put(module, len(module) - 1, added)


def _twice(module: nn.Sequential) -> nn.Module:
    again = linear(module) if linear(module).out_features == 6 else nn.Linear(6, 6)
    return put(put(module, len(module) - 1, again), len(module) - 1, again)


def _method(module: nn.Sequential) -> nn.Module:
    layer = linear(module)
    before = layer.forward
    layer.forward = lambda x: -before(x)  # type: ignore[assignment, method-assign]
    return module


def _own_forward(module: nn.Sequential) -> nn.Module:
    before = module.forward
    module.forward = lambda x: 2 * before(x)  # type: ignore[method-assign, no-untyped-call]
    return module


def _steps_on_gradient(module: nn.Sequential) -> nn.Module:
    linear(module).weight.register_hook(lambda g: g * torch.tensor([1.0, 0, 2, 1, 0, 1]))
    return module


def _parametrised(module: nn.Sequential) -> nn.Module:
    nn.utils.parametrize.register_parametrization(linear(module), "weight", Scaled())
    return module


def _weight_normed(module: nn.Sequential) -> nn.Module:
    parametrizations.weight_norm(linear(module))
    return module


def _spectral_normed(module: nn.Sequential) -> nn.Module:
    parametrizations.spectral_norm(linear(module))
    return module


def _subclass(module: nn.Sequential) -> nn.Module:
    return put(module, len(module) - 1, Doubled(6, 6))


def _nested(module: nn.Sequential) -> nn.Module:
    return nn.Sequential(*list(module)[:-1], nn.Sequential(module[-1], nn.ReLU(), nn.Linear(4, 4)))


def _residual(module: nn.Sequential) -> nn.Module:
    return Residual(*module)


def _buffer(module: nn.Sequential) -> nn.Module:
    return put(module, len(module) - 1, Moving())


def _unused(module: nn.Sequential) -> nn.Module:
    """Parameters on which nothing depends: a loop of one's own leaves them alone, weight decay included."""
    module.register_parameter("spare", nn.Parameter(torch.ones(3)))
    return module


def _without_gradient(module: nn.Sequential) -> nn.Module:
    """A layer that is cut off in the forward pass, though its parameters could be trained."""
    linear(module).register_forward_hook(lambda part, inputs, output: output.detach())
    return module


def _frozen_in_forward(module: nn.Sequential) -> nn.Module:
    linear(module).register_forward_pre_hook(lambda part, inputs: part.requires_grad_(False) and None)
    return module


class InDouble(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x.double()).float()
        return logits


def _other_size(module: nn.Sequential) -> nn.Module:
    linear(module).out_features = 99
    return module


TWISTS: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "none": lambda module: module,
    "frozen layer": _frozen,
    "frozen weight": _frozen_weight,
    "frozen bias": _frozen_bias,
    "tied weights": _tied,
    "a layer twice": _twice,
    "forward hook": _hook("register_forward_hook", lambda part, inputs, output: output * 2),
    "forward pre-hook": _hook("register_forward_pre_hook", lambda part, inputs: (inputs[0] + 1,)),
    "backward hook": _doubled_backwards,
    "backward pre-hook": _hook("register_full_backward_pre_hook", lambda part, after: (3 * after[0],)),
    "hook on a parameter": _steps_on_gradient,
    "method of a layer": _method,
    "method of the module": _own_forward,
    "parametrised": _parametrised,
    "weight normed": _weight_normed,
    "spectral normed": _spectral_normed,
    "subclass of a layer": _subclass,
    "nested": _nested,
    "subclass of the module": _residual,
    "buffer": _buffer,
    "unused parameter": _unused,
    "without gradient": _without_gradient,
    "untrue size": _other_size,
    "frozen in forward": _frozen_in_forward,
    "in double": InDouble,
}
