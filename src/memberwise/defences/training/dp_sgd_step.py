"""The step of DP-SGD: each record's gradient clipped, their sum noised (Abadi et al. 2016)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.nn import functional

from memberwise.defences.training import dp_sgd_layers
from memberwise.defences.training.dp_sgd_layers import BYTES, layers_of, passed_through
from memberwise.errors import StudyError
from memberwise.models.layer_kinds import BATCH_NORMS, INSTANCE_NORMS
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold, normal
from memberwise.training.step import Batch, State, Step, plain_update
from memberwise.training.steppers.dense import Layers, dense_backward, dense_forward, dense_layers, dense_losses

# Keep the noise apart from the dropout of single records.
_NOISE, _RECORD = 0x4E4F4953, 0x5245434F


class DpSgd(Step):
    """Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with Poisson sampling.

    The gradient is (sum of clipped record gradients + N(0, (noise_multiplier clip)^2)) / expected; more noise and a
    smaller clip are more private. The noise comes from the model's seed by a hash, in float32: epsilon is that of the
    mechanism, not of an attacker who guesses seeds or reads the last bits of floats.

    Args:
        expected: records in a batch in the mean, which is what the sum is divided by.
    """

    poisson = True
    written_out = True

    def __init__(self, noise_multiplier: float, clip: float, expected: float, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.noise_multiplier, self.clip, self.expected = noise_multiplier, clip, expected

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        refuse_shared_statistics(network.module)
        return {}

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        total, losses = self.clipped_sum(network, params, state, batch, key)
        mask = torch.ones_like(losses) if batch.mask is None else batch.mask
        loss = (losses * mask).sum() / mask.sum().clamp(min=1)
        if self.noise_multiplier:
            total = {name: value + self._noise(i, key, value.shape) for i, (name, value) in enumerate(total.items())}
        # What no record's loss depends on gets no noise either: it is not trained.
        gradient = {name: value / self.expected for name, value in total.items() if name not in network.idle}
        return gradient, loss, self._after(network, params, state, batch, key)

    def _noise(self, number: int, key: Tensor, shape: torch.Size) -> Tensor:
        """Of one model's parameter ``number``, in this shape."""
        return self.noise_multiplier * self.clip * normal(fold(key, _NOISE + number), shape)

    def has_dense_gradient(self, network: Network) -> bool:
        return type(self) is DpSgd and not network.drops and not network.idle

    def dense_gradient(
        self,
        layers: Layers,
        weights: Tensors,
        x: Tensor,
        target: Tensor,
        mask: Tensor | None,
        masks: list[Tensor],
        keys: Tensor,
        together: bool,
    ) -> tuple[Tensors, Tensor, Tensor]:
        total, losses = self._of_dense(layers, weights, x, target, mask)
        names = [f"{name}.{kind}" for name, layer in layers for kind in layer._parameters]
        total = {name: total[name] for name in names if name in total}
        for number, (name, value) in enumerate(total.items()):
            if not self.noise_multiplier:
                break
            if together:
                draw = partial(self._noise, number, shape=value.shape[1:])
                total[name] = value + vmap(draw)(keys)
            else:  # one model's at a time stays in the processor's cache, in which drawing takes a third of the time
                for one, key in zip(value, keys, strict=True):
                    one.add_(self._noise(number, key, one.shape))
        real = torch.ones_like(losses) if mask is None else mask
        mean = (losses * real).sum(1) / real.sum(1).clamp(min=1)
        return {name: value / self.expected for name, value in total.items()}, mean, losses

    def goes_by_layers(self, network: Network) -> bool:
        return self.known_layers(network) is not None

    def known_layers(self, network: Network) -> dict[str, nn.Module] | None:
        """The layers of a network that is clipped layer by layer, or None for another."""
        return None if network.drops else layers_of(network.module)

    def without_noise(self) -> DpSgd:
        return DpSgd(0.0, self.clip, self.expected, self.label_smoothing)

    def examine(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> None:
        """Refuse modules that treat records together, or keep of them what no noise covers."""
        refuse_shared_statistics(network.module)
        singles = [network(params, state.buffers, batch.x[i : i + 1], key)[1] for i in range(len(batch.x))]
        for name, value in singles[0].items():
            if any(not torch.equal(value, buffers[name]) for buffers in singles):
                raise cannot_train("a module whose buffers depend on the records it sees", name)
        # In training mode dropout would draw other masks for a batch than for its records.
        for draws in (None,) if network.drops else (None, key):
            answers = [network(params, state.buffers, batch.x, draws)[0] for _ in range(2)]
            alone = [network(params, state.buffers, batch.x[i : i + 1], draws)[0] for i in range(len(batch.x))]
            same = torch.equal(*answers)  # a module that never answers twice alike shows nothing
            if same and not torch.allclose(
                torch.cat(alone), answers[0], rtol=1e-2, atol=1e-3 * float(answers[0].std())
            ):
                raise cannot_train("a module whose answer about a record depends on the others of its batch")

    def _after(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> State:
        """The state after a step: what a module does to its buffers, it does with any record (see ``examine``)."""
        if not any(True for _ in network.module.buffers()):
            return state
        network = network.computing(network.precision, torch.contiguous_format)
        with torch.no_grad():
            return state._replace(buffers=network(params, state.buffers, batch.x[:1], key)[1])

    def clipped_sum(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor]:
        """The sum of clipped record gradients, and the ``(batch,)`` losses of the records.

        Some records at a time, so that a large network does not hold the gradients of all.
        """
        layers = None if network.drops else dense_layers(network)
        if layers is not None:
            values = {name: value.to(network.precision)[None] for name, value in params.items()}
            x, mask = batch.x.flatten(1).to(network.precision)[None], None if batch.mask is None else batch.mask[None]
            stacked, alone = self._of_dense(layers, values, x, batch.target[None], mask)
            return {name: stacked[name][0] for name in params}, alone[0]
        by_layers = self._by_layers(network, params, state, batch, key)
        if by_layers is not None:
            return by_layers
        network = network.computing(network.precision, torch.contiguous_format)  # vmap knows no other
        chunk = max(1, BYTES // (4 * network.parameters))
        total = {name: torch.zeros_like(value) for name, value in params.items()}
        losses: list[Tensor] = []
        for first in range(0, len(batch.x), chunk):
            part = slice(first, first + chunk)
            gradients, part_losses = self.record_gradients(network, params, state, batch, key, part)
            norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0).sqrt()
            weights = self._weights(norms, None if batch.mask is None else batch.mask[part])
            total = {
                name: value + torch.einsum("b,b...->...", weights, gradients[name]) for name, value in total.items()
            }
            losses.append(part_losses)
        return total, torch.cat(losses)

    def _weights(self, norms: Tensor, mask: Tensor | None) -> Tensor:
        """What each record's gradient is multiplied by."""
        weights = (self.clip / norms.clamp(min=1e-12)).clamp(max=1.0)
        return weights if mask is None else weights * mask

    def _by_layers(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor] | None:
        """``clipped_sum`` of a network of known layers, or None for another."""
        layers = None if network.general else self.known_layers(network)
        if layers is None:
            return None

        def losses_of(logits: Tensor) -> Tensor:
            smoothing = self.label_smoothing
            return functional.cross_entropy(logits, batch.target, reduction="none", label_smoothing=smoothing)

        passed = passed_through(network, layers, params, state.buffers, batch.x, key, losses_of)
        if passed is None:
            return None
        total = dp_sgd_layers.clipped_sum(passed[0], partial(self._weights, mask=batch.mask))
        return {name: total[name] for name in params}, passed[1]

    def _of_dense(
        self, layers: Layers, weights: Tensors, x: Tensor, target: Tensor, mask: Tensor | None
    ) -> tuple[Tensors, Tensor]:
        """``clipped_sum`` of a stack of fully connected networks, whose record gradients are never written down.

        A linear layer's is the outer product of the gradient by its output and its input, so its norm is the product
        of theirs (Goodfellow 2015, arXiv:1510.01799), and the weighted sum is one matrix product (446-256-128-30 at
        batch 64 on one core: 1.5 ms a model and step instead of 53). Clipping and sum are float32, so that no rounding
        of the sum adds to what a record can change.

        Args:
            x: ``(m, b, features)``; target and mask: ``(m, b)``.

        Returns:
            Sums ``(m, ...)``, and the records' losses ``(m, b)``.
        """
        logits, kept = dense_forward(layers, weights, x, [])
        losses, g = dense_losses(logits.float(), target, self.label_smoothing)
        parts = [
            (name, layer.bias is not None, inputs.float(), outputs.float())
            for name, layer, inputs, outputs in dense_backward(layers, weights, kept, g.to(x.dtype))
        ]
        squares = [o.square().sum(2) * (i.square().sum(2) + biased) for _, biased, i, o in parts]
        shares = self._weights(torch.stack(squares).sum(0).sqrt(), mask)[..., None]
        total: Tensors = {}
        for name, biased, inputs, outputs in parts:
            total[f"{name}.weight"] = torch.bmm((shares * outputs).transpose(1, 2), inputs)
            if biased:
                total[f"{name}.bias"] = (shares * outputs).sum(1)
        return total, losses

    def record_gradients(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor, part: slice
    ) -> tuple[Tensors, Tensor]:
        """``(k, ...)`` gradients and ``(k,)`` losses of the records ``part`` of a batch, each with its own dropout."""
        places = torch.arange(len(batch.x), device=key.device)[part]
        subkey = fold(key, _RECORD)

        def one(x: Tensor, target: Tensor, place: Tensor) -> tuple[Tensors, Tensor]:
            alone = Batch(x[None], target[None], place[None], None, batch.epoch)
            pair: tuple[Tensors, Tensor] = grad_and_value(
                lambda values: self.loss(network, values, state, alone, fold(subkey, place))[0]
            )(params)
            return pair

        try:
            gradients, losses = vmap(one)(batch.x[part], batch.target[part], places)
        except (RuntimeError, ValueError, TypeError, NotImplementedError):  # a module that vmap cannot take
            return self._one_by_one(network, params, state, batch, subkey, places)
        return gradients, losses

    def _one_by_one(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor, places: Tensor
    ) -> tuple[Tensors, Tensor]:
        """``record_gradients`` by ordinary autograd, one record after the other."""
        parts, losses = [], []
        for place in places:
            alone = Batch(batch.x[place][None], batch.target[place][None], place[None], None, batch.epoch)
            gradient, loss, _ = plain_update(self, network, params, state, alone, fold(key, place))
            parts.append({name: gradient.get(name, torch.zeros_like(value)) for name, value in params.items()})
            losses.append(loss)
        return {name: torch.stack([part[name] for part in parts]) for name in params}, torch.stack(losses)


def refuse_shared_statistics(module: nn.Module) -> None:
    """A layer that mixes the records of a batch has no gradient of a single record to clip.

    Raises:
        StudyError: the module has such a layer.
    """
    for name, layer in module.named_modules():
        shared = isinstance(layer, BATCH_NORMS)
        kept = isinstance(layer, INSTANCE_NORMS) and layer.track_running_stats
        if shared or kept:
            raise cannot_train(
                "a network with BatchNorm, or statistics kept over batches", f"{type(layer).__name__} ({name})"
            )


def cannot_train(what: str, layer: str | None = None) -> StudyError:
    """The error that names what DP-SGD cannot train, and what to put in its place."""
    return StudyError(
        f"dp-sgd cannot train {what}",
        expected="layers that treat each record by itself",
        found=layer,
        where="training.defence",
        fix="GroupNorm (32 channels: nn.GroupNorm(8, 32)) or LayerNorm in its place",
    )
