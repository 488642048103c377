"""Find out what a classifier tells about the records it was trained on, then make it tell less."""

from memberwise._version import __version__

__all__ = ["__version__"]
