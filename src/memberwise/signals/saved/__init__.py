"""Saved answers become signals."""
