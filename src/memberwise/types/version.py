"""The version of the package; what is built is named by it."""

__version__ = "0.1.0"
