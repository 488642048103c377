"""For scikit-learn's own tools: a scorer of leakage for its searches."""

from memberwise.sklearn.scorer import leakage_scorer

__all__ = ["leakage_scorer"]
