"""Augmentation of one model's batch on tensors, keyed, so that it does not depend on what else is stacked.

Each augmentation is a pure function of ``(x, target, key, mask)`` and runs under ``vmap``. ``x`` is ``(batch, H, W)``
or ``(batch, C, H, W)``, for mixup ``(batch, ...)``; a record's draws do not depend on how many follow it in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from memberwise.models.randomness import fold, uniform

Augment = Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]

# Keeps the draws of augmentation apart from those which a step makes from the same key.
_PURPOSE = 0x41554700


def flip(x: Tensor, target: Tensor, key: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Each image is mirrored left to right with probability 1/2.

    Args:
        x: ``(n, C, H, W)`` or ``(n, H, W)``; the same shape is returned.
    """
    mirrored = uniform(key, x.shape[:1]) < 0.5
    return torch.where(_per_record(mirrored, x), x.flip(-1), x), target


def crop(x: Tensor, target: Tensor, key: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Each image is padded with zeros by an eighth of its size (4 at 32x32) and cut out again at a random place.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Args:
        x: ``(n, C, H, W)`` or ``(n, H, W)``; the same shape is returned.
    """
    height, width = x.shape[-2:]
    down, right = max(1, height // 8), max(1, width // 8)
    padded = functional.pad(x, (right, right, down, down))
    rows = _below(fold(key, 1), x, 2 * down + 1) + torch.arange(height, device=x.device)
    columns = _below(fold(key, 2), x, 2 * right + 1) + torch.arange(width, device=x.device)
    place = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).flatten(1)
    place = place.reshape(len(x), *[1] * (x.dim() - 3), -1).expand(*x.shape[:-2], -1)
    return padded.flatten(-2).gather(-1, place).reshape(x.shape), target


def cutout(x: Tensor, target: Tensor, key: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A square around a random pixel, a quarter of the image's smaller side long, becomes zero in each image.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017
    (arXiv:1708.04552), section 3: the square may reach over the border. (8 at 32x32, as there for CIFAR-100.)

    Args:
        x: ``(n, C, H, W)`` or ``(n, H, W)``; the same shape is returned.
    """
    height, width = x.shape[-2:]
    side = max(1, min(height, width) // 4)
    top = _below(fold(key, 1), x, height) - side // 2
    left = _below(fold(key, 2), x, width) - side // 2
    row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    in_rows, in_columns = (row >= top) & (row < top + side), (column >= left) & (column < left + side)
    hidden = (in_rows[:, :, None] & in_columns[:, None, :]).reshape(len(x), *[1] * (x.dim() - 3), height, width)
    return torch.where(hidden, torch.zeros((), dtype=x.dtype, device=x.device), x), target


def mixup(x: Tensor, target: Tensor, key: Tensor, mask: Tensor | None = None, *, classes: int) -> tuple[Tensor, Tensor]:
    """Each record is averaged with another of its batch, targets likewise, with one weight a batch.

    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, with alpha 1: the
    weight is uniform, the partners are a random permutation. Padding (``mask`` 0) is nobody's partner.

    Returns:
        records, and soft targets ``(batch, classes)``.
    """
    weight = uniform(fold(key, 1), ())
    draws = uniform(fold(key, 2), x.shape[:1])
    # Padding stands at the end of a batch; sorted to the end it keeps to itself.
    order = draws if mask is None else torch.where(mask > 0, draws, draws + 1.0)
    partner = order.sort(stable=True).indices
    soft = functional.one_hot(target, classes).to(x.dtype) if target.dim() == 1 else target
    return weight * x + (1 - weight) * x[partner], weight * soft + (1 - weight) * soft[partner]


AUGMENTATIONS: dict[str, Augment] = {"flip": flip, "crop": crop, "cutout": cutout}
# What may be done to records that are no images.
FOR_TABLES = ("mixup",)


def augmentation(names: Sequence[str], classes: int) -> Augment | None:
    """The named augmentations in order as one function of a stack: every argument has the model as first dimension.

    Targets stay class numbers unless "mixup" is among them. None where nothing is named.
    """
    if not names:
        return None
    parts = [partial(mixup, classes=classes) if name == "mixup" else AUGMENTATIONS[name] for name in names]

    def one(x: Tensor, target: Tensor, key: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        for place, part in enumerate(parts):
            x, target = part(x, target, fold(key, _PURPOSE + place), mask)
        return x, target

    def stack(x: Tensor, target: Tensor, keys: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed: tuple[Tensor, Tensor] = vmap(one, in_dims=(0, 0, 0, None if mask is None else 0))(x, target, keys, mask)
        return mixed

    return stack


def _below(key: Tensor, x: Tensor, limit: int) -> Tensor:
    """``(batch, 1)`` whole numbers in [0, limit), one a record."""
    return (uniform(key, x.shape[:1]) * limit).long()[:, None]


def _per_record(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.dim() - 1))
