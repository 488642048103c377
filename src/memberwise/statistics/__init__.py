"""Statistics: ROC, intervals that hold, thresholds, epsilon bounds, the gate. Pure functions of scores and truth."""

from memberwise.statistics.auc import auc
from memberwise.statistics.epsilon import EpsilonBound, epsilon_bound, epsilon_of_records
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.evaluate import Evaluation, evaluate
from memberwise.statistics.gate import GateRule, Verdict, judge, parse_rule
from memberwise.statistics.intervals import (
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    newcombe_difference,
)
from memberwise.statistics.prior import ppv
from memberwise.statistics.roc import Roc, roc, roc_band, tpr_at
from memberwise.statistics.thresholds import (
    Counts,
    Decision,
    Threshold,
    best_threshold,
    count,
    decide,
    search_threshold,
)
from memberwise.statistics.tpr import TprAtFpr, auto_fprs, tpr_at_fpr

__all__ = [
    "Counts",
    "Decision",
    "EpsilonBound",
    "Estimate",
    "Evaluation",
    "GateRule",
    "Roc",
    "Threshold",
    "TprAtFpr",
    "Verdict",
    "auc",
    "auto_fprs",
    "best_threshold",
    "clopper_pearson",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "count",
    "decide",
    "epsilon_bound",
    "epsilon_of_records",
    "evaluate",
    "judge",
    "newcombe_difference",
    "parse_rule",
    "ppv",
    "roc",
    "roc_band",
    "search_threshold",
    "tpr_at",
    "tpr_at_fpr",
]
