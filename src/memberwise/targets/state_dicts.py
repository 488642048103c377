"""Weights from a file into their architecture: a state dict as ``load_state_dict`` takes it, wrapped or not.

Nothing is unpickled but tensors and plain values (``torch.load(weights_only=True)``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from memberwise.errors import Note, TargetError
from memberwise.models.network import Network
from memberwise.types.parts import Plain

CHANGE = "save the weights with safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and give --model"
# Parts of names that wrappers put in: data parallel and averaged models, Opacus, compiled, sharded, checkpointed ones.
WRAPPERS = {"module", "_module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
EXTRA = "_extra_state"
# How deep a checkpoint is searched for state dicts.
DEPTH = 3
SHOWN = 4

State = Plain


def load_weights(path: Path, network: Network, seed: int = 0) -> tuple[nn.Module, list[Note]]:
    """A fresh module of the architecture with the file's weights, and what was noticed.

    Args:
        path: .safetensors, or what ``torch.save`` wrote: a state dict, or a checkpoint that holds one.
        seed: from which the fresh module is made; what the file does not hold may depend on it.

    Raises:
        TargetError: the file cannot be read, holds no state dict or several that fit, or names or shapes do not fit.
    """
    states = dict(_states(_read(path)))
    if not states:
        raise TargetError(f"{path} holds no state dict", expected="names and tensors", fix=CHANGE)
    fits = {key: _Fit.of(state, network, seed) for key, state in states.items()}
    fitting = {key: fit for key, fit in fits.items() if not fit.problems}
    if not fitting:
        key = min(fits, key=lambda key: len(fits[key].problems))
        raise _misfit(path, key, fits[key])
    key, fit = next(iter(fitting.items()))
    if any(not _same(fit.module.state_dict(), other.module.state_dict()) for other in fitting.values()):
        raise TargetError(
            f"{path} is a checkpoint that holds several models' weights, and it is not said which of them answers",
            found="the keys " + ", ".join(repr(key) for key in fitting),
            where="target.file",
            fix=f"save that one alone: torch.save(torch.load({path.name!r}, weights_only=True){_place(key)}, ...)",
        )
    if not key:
        return fit.module, []
    return fit.module, [
        Note("target-checkpoint", f"{path} is a checkpoint: the weights under its key {key!r} were taken")
    ]


def _read(path: Path) -> object:
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors import safe_open
            from safetensors.torch import load_file

            weights: State = load_file(path)
            with safe_open(path, "pt") as file:
                aliases = file.metadata() or {}  # save_model's: of shared weights one is stored
            return {name: weights[kept] for name, kept in aliases.items() if kept in weights} | weights
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        held = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise TargetError(
            f"{path} cannot be read as weights",
            expected="names and tensors only: whatever else is in such a file would run code when it is opened",
            found=f"an object of {held[1]}" if held else f"{type(error).__name__}: {str(error)[:200]}",
            fix=CHANGE,
        ) from error


def _states(thing: object, depth: int = DEPTH, key: str = "") -> Iterator[tuple[str, State]]:
    """The state dicts in what was read, by the dotted key under which they lie; "" for the whole."""
    if not isinstance(thing, Mapping) or not depth:
        return
    named = {str(name): value for name, value in thing.items()}
    if any(isinstance(value, Tensor) for value in named.values()) and all(
        isinstance(value, Tensor) or name.endswith(EXTRA) for name, value in named.items()
    ):
        yield key, named
        return
    for name, value in named.items():
        yield from _states(value, depth - 1, f"{key}.{name}" if key else name)


@dataclass
class _Fit:
    """A module with a state dict loaded as far as it fits.

    Attributes:
        missing, unexpected: names; differing: what else does not fit, in words.
        names: how the file calls its entries.
    """

    module: nn.Module
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        missing = [f"{name} is missing" for name in self.missing]
        return [*self.differing, *missing, *(f"{name} is not part of the architecture" for name in self.unexpected)]

    @classmethod
    def of(cls, state: State, network: Network, seed: int) -> _Fit:
        fit = cls(_made(network, seed), names=tuple(state))
        expected = fit.module.state_dict(keep_vars=True)
        buffers = {name: value for name, value in fit.module.named_buffers() if name not in expected}
        state = _renamed(state, {*expected, *buffers})
        state = {name: value for name, value in state.items() if name in expected or not _is_bookkeeping(name, value)}
        fit.differing = [
            f"{name} has shape {tuple(value.shape)} instead of {tuple(known.shape)}"
            for name, known in (expected | buffers).items()
            if isinstance(known, Tensor) and isinstance(value := state.get(name), Tensor)
            if not is_lazy(known) and value.shape != known.shape
        ]
        fit.differing += _untied(state, expected)
        if not fit.differing:
            fit._load(state, expected, buffers)
        else:
            fit.missing = [name for name in expected if name not in state and not name.endswith(EXTRA)]
            fit.unexpected = [name for name in state if name not in expected and name not in buffers]
        return fit

    def _load(self, state: State, expected: State, buffers: State) -> None:
        try:
            result = self.module.load_state_dict(state, strict=False)
        except Exception as error:  # a module's own loading may raise anything
            self.differing = [f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"]
            return
        there = {id(expected[name]) for name in state if name in expected}
        self.missing = [
            name
            for name in result.missing_keys
            # Another name of what is there; what older files lack; what a file of tensors cannot hold.
            if id(expected.get(name)) not in there and not name.endswith((EXTRA, "num_batches_tracked"))
        ]
        self.unexpected = [name for name in result.unexpected_keys if name not in buffers]
        with torch.no_grad():
            for name, value in buffers.items():  # older versions of an architecture saved them
                if name in state:
                    value.copy_(state[name])


def _made(network: Network, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.make().to(network.device)


def _is_bookkeeping(name: str, value: object) -> bool:
    """What wrappers keep beside the weights: how many models were averaged, and extra state that is empty."""
    if name.rpartition(".")[2] == EXTRA:
        return value is None or (isinstance(value, Tensor) and not value.numel())
    return _bare(name) == "n_averaged" and isinstance(value, Tensor) and value.numel() == 1


def _untied(state: State, expected: State) -> list[str]:
    """Entries that are one tensor in the architecture and differ in the file, in words."""
    first: dict[int, str] = {}
    problems = []
    for name, value in expected.items():
        if name in state and isinstance(value, Tensor):
            twin = first.setdefault(id(value), name)
            if not torch.equal(state[twin], state[name]):
                problems.append(f"{twin} and {name} are one tensor in the architecture, and differ in the file")
    return problems


def _renamed(state: State, names: set[str]) -> State:
    """The entries under the architecture's names: as they are, without wrappers, or without what all begin with.

    The way by which most names fit is taken, of equal ones the first.
    """
    bare = {name: _bare(name) for name in state}
    ours = {_bare(name): name for name in names}
    if len(ours) < len(names):
        return state
    theirs = [name for name in bare.values() if name != "n_averaged"]
    cut, ours_cut = len(_beginning(theirs)), len(_beginning(list(ours)))
    shorter = {name[ours_cut:]: full for name, full in ours.items()}
    best = state
    for known, length in ((ours, 0), (ours, cut), (shorter, 0), (shorter, cut)):
        renamed = {known.get(short[length:], name): state[name] for name, short in bare.items()}
        if len(renamed) == len(state) and len(names & {*renamed}) > len(names & {*best}):
            best = renamed
    return best


def _bare(name: str) -> str:
    """A name without the parts that wrappers put in."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _beginning(names: list[str]) -> str:
    """The dotted parts with which all names begin, their dot included."""
    parts = [name.split(".")[:-1] for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "".join(f"{part}." for part in shared)


def _same(one: State, other: State) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if isinstance(value, Tensor))


def _place(key: str) -> str:
    return "".join(f"[{part!r}]" for part in key.split("."))


def _misfit(path: Path, key: str, fit: _Fit) -> TargetError:
    problems = fit.problems
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    place = f", under the key {key!r}," if key else ""
    return TargetError(
        f"the weights in {path}{place} do not fit the architecture",
        found="; ".join(problems[:SHOWN]) + more,
        where="model.name",
        fix=_hint(fit),
    )


def _hint(fit: _Fit) -> str:
    """What to do, by what does not fit."""
    parameters = [name for name, _ in fit.module.named_parameters()]
    if len(set(parameters) & set(fit.missing)) == len(parameters):
        return (
            f"these are another module's weights, with entries such as {', '.join(fit.names[:2])}: "
            "--model file.py:function that makes that module"
        )
    if fit.missing and not fit.unexpected and not fit.differing:
        return "the file holds a part of the architecture: save the whole model's state_dict()"
    if fit.unexpected and not fit.missing and not fit.differing:
        return (
            "the target has parts that the architecture lacks: name the architecture it was built with, or save the "
            "state_dict() of the part that answers, alone"
        )
    if any("one tensor" in problem for problem in fit.differing):
        return "make an architecture that shares no weights, as the target does not, or tie them in the target"
    if fit.differing and not fit.missing and not fit.unexpected:
        return "give the architecture the sizes of the target (such as model.hidden, or the function's arguments)"
    return "name the architecture that the target was built with, with the same options"
