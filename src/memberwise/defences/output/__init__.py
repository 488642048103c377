"""Output defences: what a model's owner does to its answers. One file each; ``registry`` lists them."""

from memberwise.defences.output.base import OutputDefence

__all__ = ["OutputDefence"]
