"""Architectures by name, and a module as a function of its parameters."""
