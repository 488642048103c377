"""Trained models that can be asked."""
