"""Augmentation of images, as a baseline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from memberwise.defences.training.base import Options, TrainingDefence
from memberwise.types.parts import Plain


class Augmentation(Options):
    """``use``: what each image goes through in each step, added to ``training.augment``."""

    use: Annotated[tuple[Literal["flip", "crop", "cutout"], ...], Field(min_length=1)] = ("flip", "crop")


def settings(options: Augmentation, study: Plain) -> Plain:
    """The study's own augmentations and those of the defence, each once."""
    return {"training.augment": list(dict.fromkeys([*study["training"]["augment"], *options.use]))}


DEFENCE = TrainingDefence(
    name="augmentation",
    options=Augmentation,
    summary="Images are mirrored, shifted or partly hidden anew in each step. To be attacked with augmented questions.",
    source="as a defence Kaya and Dumitras 2021; augmented questions undo it: Yu et al. 2021",
    settings=settings,
    grid=({"use": ["flip"]}, {"use": ["flip", "crop"]}, {"use": ["flip", "crop", "cutout"]}),
)
