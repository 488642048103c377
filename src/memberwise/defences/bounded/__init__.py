"""Mechanisms whose leak is bounded: pure functions on arrays, in float64, without torch."""
