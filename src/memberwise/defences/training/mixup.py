"""Mixup: the model only ever sees mixtures of two records."""

from __future__ import annotations

from typing import Any

from memberwise.defences.training.base import Options, TrainingDefence


class Mixup(Options):
    """No parameters: the weight of a mixture is uniform (alpha 1 of the paper)."""


def settings(options: Mixup, study: dict[str, Any]) -> dict[str, Any]:
    """The study's own augmentations, and mixup."""
    return {"training.augment": list(dict.fromkeys([*study["training"]["augment"], "mixup"]))}


DEFENCE = TrainingDefence(
    name="mixup",
    options=Mixup,
    summary="The model sees mixtures of two records and of their labels.",
    source="Zhang et al. 2018; as a defence Li, Li and Ribeiro 2021",
    settings=settings,
)
