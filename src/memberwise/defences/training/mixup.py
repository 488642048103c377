"""Mixup: the model only ever sees mixtures of two records."""

from __future__ import annotations

from memberwise.defences.training.base import Options, TrainingDefence
from memberwise.types.parts import Plain


class Mixup(Options):
    """No parameters: the weight of a mixture is uniform (alpha 1 of the paper)."""


def settings(options: Mixup, study: Plain) -> Plain:
    """The study's own augmentations, and mixup."""
    return {"training.augment": list(dict.fromkeys([*study["training"]["augment"], "mixup"]))}


DEFENCE = TrainingDefence(
    name="mixup",
    options=Mixup,
    summary="The model sees mixtures of two records and of their labels.",
    source="Zhang et al. 2018; as a defence Li, Li and Ribeiro 2021",
    settings=settings,
)
