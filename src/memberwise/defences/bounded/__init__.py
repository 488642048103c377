"""Mechanisms whose answers have a bound: pure functions of tables of answers, in float64."""
