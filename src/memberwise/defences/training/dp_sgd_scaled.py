"""DP-SGD with what makes it accurate: several augmentations of a record before clipping, and averaged parameters.

De, Berrada, Hayes, Smith and Balle 2022, "Unlocking high-accuracy differentially private image classification through
scale" (arXiv:2204.13650), sections 3.2 and 3.3. Neither changes the guarantee: a record still adds one clipped
gradient, and an average of released parameters is computed from them alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from memberwise.defences.training.dp_sgd_step import _RECORD, DpSgd
from memberwise.errors import StudyError
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold
from memberwise.training.augment import AUGMENTATIONS
from memberwise.training.step import Batch, Epoch, State
from memberwise.training.steppers.dense import dense_layers

# Dimensions of a batch of images, (batch, H, W), at least.
IMAGES = 3
# Keeps the draws of copies apart from those of dropout.
_COPIES = 0x434F5059


class ScaledDpSgd(DpSgd):
    """DP-SGD whose record gradient is the mean over augmented copies, and whose model is an average over steps.

    Args:
        multiplicity: copies of a record in each step; its gradients are averaged, then clipped.
        augment: how a copy differs from the record, names of ``AUGMENTATIONS`` in order.
        decay: of the exponential moving average of parameters over steps, which is the model; 0: the last parameters.
            In step t it is at most (1 + t) / (10 + t), so that the start is forgotten.
        epochs: of the training, after the last of which the model becomes the average.
    """

    def __init__(
        self,
        noise_multiplier: float,
        clip: float,
        expected: float,
        label_smoothing: float = 0.0,
        *,
        multiplicity: int,
        augment: Sequence[str],
        decay: float,
        epochs: int,
    ) -> None:
        super().__init__(noise_multiplier, clip, expected, label_smoothing)
        self.multiplicity, self.augment, self.decay, self.epochs = multiplicity, tuple(augment), decay, epochs

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        tensors = super().init(network, rows, key)
        if self.augment and not network.drops and dense_layers(network) is not None:
            raise _no_images(self.augment, "a fully connected network")
        if not self.decay:
            return tensors
        zeros = {f"mean:{name}": torch.zeros_like(value) for name, value in network.init(0)[0].items()}
        return tensors | zeros | {"steps": torch.zeros((), device=key.device)}

    def known_layers(self, network: Network) -> dict[str, nn.Module] | None:
        """None where a mean over copies is clipped, which no single pass gives."""
        return None if self.augment else super().known_layers(network)

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        gradient, loss, after = super().update(network, params, state, batch, key)
        return gradient, loss, self._averaged(params, after)

    def after_epoch(self, network: Network, params: Tensors, state: State, epoch: Epoch) -> tuple[Tensors, State]:
        """Each step averages the parameters it began with; the last step's are added here."""
        if not self.decay:
            return params, state
        last = epoch.number == self.epochs - 1
        mean = self._averaged(params, state).own
        return {name: torch.where(last, mean[f"mean:{name}"], value) for name, value in params.items()}, state

    def _averaged(self, params: Tensors, state: State) -> State:
        if not self.decay:
            return state
        t = state.own["steps"]
        kept = torch.where(t > 0, ((1 + t) / (10 + t)).clamp(max=self.decay), 0.0)
        means = {
            f"mean:{name}": kept * state.own[f"mean:{name}"] + (1 - kept) * value for name, value in params.items()
        }
        return state._replace(own=state.own | means | {"steps": t + 1})

    def record_gradients(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor, part: slice
    ) -> tuple[Tensors, Tensor]:
        """``(k, ...)`` mean gradients over the copies of each record, and ``(k,)`` mean losses."""
        if not self.augment:
            return super().record_gradients(network, params, state, batch, key, part)
        if batch.x.dim() < IMAGES:
            raise _no_images(self.augment, f"records of shape {tuple(batch.x.shape[1:])}")
        places = torch.arange(len(batch.x), device=key.device)[part]
        subkey = fold(key, _RECORD)

        def one(x: Tensor, target: Tensor, place: Tensor) -> tuple[Tensors, Tensor]:
            mine = fold(subkey, place)
            copies = x.expand(self.multiplicity, *x.shape)
            labels = target.expand(self.multiplicity, *target.shape)
            for number, name in enumerate(self.augment):
                copies, labels = AUGMENTATIONS[name](copies, labels, fold(mine, _COPIES + number), None)
            alone = Batch(copies, labels, place.expand(self.multiplicity), None, batch.epoch)
            pair: tuple[Tensors, Tensor] = grad_and_value(
                lambda values: self.loss(network, values, state, alone, mine)[0]
            )(params)
            return pair

        gradients, losses = vmap(one)(batch.x[part], batch.target[part], places)
        return gradients, losses


def _no_images(augment: Sequence[str], what: str) -> StudyError:
    return StudyError(
        "dp-sgd's augmented copies are of images, in a convolutional network",
        expected="images and a convolutional network, or no augment",
        found=f"{what}, augment {', '.join(augment)}",
        where="training.defence",
        fix="leave out training.defence.augment and multiplicity",
    )
