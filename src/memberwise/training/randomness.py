"""The former place of ``memberwise.models.randomness``, from which defences written for version 0.1 import it."""

from memberwise.models.randomness import *  # noqa: F403
