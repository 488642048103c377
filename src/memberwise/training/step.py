"""The training protocol: what a defence may change in a step, written for one model.

The engine runs a step for one model or, under ``vmap``, for a whole stack at once. A step is pure: it keeps nothing,
and what it must remember between steps is in ``State.own``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.nn import functional

from memberwise.models.network import Network, Tensors
from memberwise.study.entrypoint import code_hash

# Where it is among the state's own tensors, plain training leaves each record's loss of the batch there, ``(batch,)``.
LOSSES = "record losses"


class Batch(NamedTuple):
    """One batch of one model.

    Attributes:
        x: ``(batch, ...)`` float32 records.
        target: ``(batch,)`` class numbers or ``(batch, classes)`` soft labels.
        ids: ``(batch,)`` positions among the rows this model trains on.
        mask: ``(batch,)`` 1.0 for real records, 0.0 for padding; None where there is no padding.
        epoch: number of the epoch, from 0.
        reference: ``inner`` batches of the reference role, records and labels ``(inner, batch, ...)``, for steps whose
            ``needs`` name it.
        members: ``inner`` further batches of the model's own rows, likewise.
    """

    x: Tensor
    target: Tensor
    ids: Tensor
    mask: Tensor | None
    epoch: Tensor
    reference: tuple[Tensor, Tensor] | None = None
    members: tuple[Tensor, Tensor] | None = None


class Epoch(NamedTuple):
    """What a step is told after an epoch, about the rows its model trains on.

    Attributes:
        number: number of the epoch, from 0.
        outputs: ``(rows, classes)`` float32 logits in evaluation mode; None unless ``needs`` name "outputs".
        target: ``(rows,)`` class numbers or ``(rows, classes)`` soft labels.
        mask: ``(rows,)`` 1.0 for real rows, 0.0 for padding; None where there is no padding.
        key: randomness of this epoch.
    """

    number: Tensor
    outputs: Tensor | None
    target: Tensor
    mask: Tensor | None
    key: Tensor


class State(NamedTuple):
    """What goes from step to step beside the parameters: the module's buffers, and the step's own tensors."""

    buffers: Tensors
    own: dict[str, Tensor]


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Each record's cross-entropy ``(n,)`` in nats: torch's, to the bit, gradients included.

    torch's own loss of class numbers imports, under ``vmap``, its symbolic shapes and sympy: half a second an audit.

    Args:
        logits: ``(n, C)``. target: ``(n,)`` class numbers or ``(n, C)`` soft labels. smoothing: of labels, in [0, 1).
    """
    if smoothing or target.is_floating_point():
        return functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    return -functional.log_softmax(logits, -1).gather(-1, target.unsqueeze(-1)).squeeze(-1)


class Step:
    """Plain training by cross-entropy, and the base of every training defence.

    Attributes:
        needs: what the engine must bring: "reference" (batches of the reference role), "members" (further batches of
            the model's own rows), "outputs" (its answers on its own rows, for ``after_epoch``).
        inner: how many batches of "reference" and "members" each step gets.
        poisson: batches are drawn by Poisson sampling: their sizes vary, and ``mask`` tells which records are real.
        couples_rows: a record's gradient depends on the other records of its batch (DP-SGD then cannot be used).
        stackable: False where the step cannot run under ``vmap``.
        written_out: its own ``update`` goes another way for plain fully connected networks (``dense_layers``), which is
            compared with the general one before it is taken; likewise where it ``goes_by_layers``.
    """

    needs: frozenset[str] = frozenset()
    inner: int = 1
    poisson: bool = False
    couples_rows = False
    stackable = True
    written_out = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def record_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Each record's loss ``(n,)`` in nats, as signals have it: without what a step adds to it in training.

        Args:
            logits: ``(n, C)``. target: ``(n,)`` class numbers or ``(n, C)`` soft labels.
        """
        return cross_entropy(logits, target)

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        """The step's own tensors at the start, for a model which trains on ``rows`` records.

        Args:
            rows: how many. key: ``()``.
        """
        return {}

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        """Mean loss of a batch, ``()``, and the state after it.

        Args:
            batch: ``(n, ...)`` records with ``(n,)`` or ``(n, C)`` targets. key: ``()``.
        """
        logits, buffers = network(params, state.buffers, batch.x, key)
        losses = cross_entropy(logits, batch.target, self.label_smoothing)
        own = {**state.own, LOSSES: losses.detach()} if LOSSES in state.own else state.own
        if batch.mask is None:
            return losses.mean(), State(buffers, own)
        return (losses * batch.mask).sum() / batch.mask.sum().clamp(min=1), State(buffers, own)

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        """The gradient which the optimiser applies, the loss ``()``, and the state after the step.

        The optimiser itself is the engine's (it updates a whole stack in place). What replaces the gradient (per-record
        clipping and noise) or plays a second game in ``State.own`` overrides this.
        """

        def objective(values: Tensors) -> tuple[Tensor, State]:
            return self.loss(network, values, state, batch, key)

        gradient, (loss, after) = grad_and_value(objective, has_aux=True)(params)
        return gradient, loss, after

    def after_epoch(self, network: Network, params: Tensors, state: State, epoch: Epoch) -> tuple[Tensors, State]:
        """Called after each epoch: parameters and state to go on with."""
        return params, state

    def has_dense_gradient(self, network: Network) -> bool:
        """``dense_gradient`` is what ``update`` does to a stack of such fully connected networks."""
        return False

    def dense_gradient(
        self,
        layers: list[tuple[str, nn.Module]],
        weights: Tensors,
        x: Tensor,
        target: Tensor,
        mask: Tensor | None,
        masks: list[Tensor],
        keys: Tensor,
        together: bool,
    ) -> tuple[Tensors, Tensor, Tensor]:
        """The gradients of a stack, written out as in ``steppers.dense.dense_gradient``, for steps that have one.

        Args:
            x: ``(m, batch, features)``; target and mask: ``(m, batch)``; keys: ``(m,)``.
            together: what is drawn is drawn for all models at once, as a compiler wants it.

        Returns:
            Gradients, the ``(m,)`` losses, and each record's loss ``(m, batch)``.
        """
        raise NotImplementedError

    def goes_by_layers(self, network: Network) -> bool:
        """Its own ``update`` takes such a network, unless it goes the general way, layer by layer."""
        return False

    def without_noise(self) -> Step:
        """The step as it is compared with another way to the same: noise would hide what differs."""
        return self

    def examine(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> None:
        """Called once before training, with one model and a few real records, outside of ``vmap``.

        Args:
            key: ``()``.

        Raises:
            StudyError: the step would not train this module rightly.
        """

    @property
    def watches_epochs(self) -> bool:
        return type(self).after_epoch is not Step.after_epoch

    @property
    def tells_losses(self) -> bool:
        """It leaves records' losses under ``LOSSES``: what it computes is plain training's loss, step after step."""
        return type(self).loss is Step.loss and not (self.has_own_update or self.watches_epochs or self.poisson)

    @property
    def has_own_update(self) -> bool:
        return type(self).update is not Step.update


def plain_update(
    step: Step, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
) -> tuple[Tensors, Tensor, State]:
    """``Step.update``'s default by ordinary autograd, for modules which ``torch.func`` cannot differentiate.

    Parameters on which the loss does not depend have no gradient, as in a loop of one's own: nothing decays them.

    Args:
        key: ``()``.

    Returns:
        Gradients by name, in the parameters' shapes, the loss ``()``, and the state after the step.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    loss, after = step.loss(network, leaves, state, batch, key)
    leaves = {name: value for name, value in leaves.items() if value.requires_grad}  # a forward may freeze some
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return (
        {name: g for name, g in zip(leaves, gradients, strict=True) if g is not None},
        loss.detach(),
        State({k: v.detach() for k, v in after.buffers.items()}, {k: v.detach() for k, v in after.own.items()}),
    )


def describe(step: object) -> dict[str, object]:
    """What identifies a step (or a procedure) in a block's key: its class, the code of that, its parameters."""
    name = f"{type(step).__module__}.{type(step).__qualname__}"
    return {"step": name, "code": code_hash(type(step)), **vars(step)}
