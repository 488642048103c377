"""Statistics: ROC, intervals that hold, thresholds, epsilon bounds, the gate. Pure functions of scores and truth."""

from memberwise.statistics.auc import auc
from memberwise.statistics.bounds import Measured
from memberwise.statistics.carried import Carried, carry_over, nonmember_scores, threshold_at_fpr
from memberwise.statistics.clustered import Pairs, tpr_at_no_false_positive, tpr_of_pairs
from memberwise.statistics.discoveries import conformal_p_values, named_as_members
from memberwise.statistics.epsilon import EpsilonBound, epsilon_bound, epsilon_of_records
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.evaluate import Evaluation, evaluate
from memberwise.statistics.gate import GateRule, Verdict, check_precision, parse_rule
from memberwise.statistics.guessing import CLEAR_AUC, clear_rate, guessing_level
from memberwise.statistics.intervals import (
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    newcombe_difference,
)
from memberwise.statistics.judging import Judged, judge, verdict_of
from memberwise.statistics.many_runs import many_runs_bound
from memberwise.statistics.mismatch import stands_out
from memberwise.statistics.one_run import choose_guesses, fixed_guesses, one_run_bound, one_run_epsilon, one_run_p_value
from memberwise.statistics.one_run_gaussian import gaussian_epsilon
from memberwise.statistics.paired import auc_difference, ranked_both
from memberwise.statistics.prior import ppv
from memberwise.statistics.roc import Roc, roc, roc_band, tpr_at
from memberwise.statistics.spread import mean_over_models
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
    "CLEAR_AUC",
    "Carried",
    "Counts",
    "Decision",
    "EpsilonBound",
    "Estimate",
    "Evaluation",
    "GateRule",
    "Judged",
    "Measured",
    "Pairs",
    "Roc",
    "Threshold",
    "TprAtFpr",
    "Verdict",
    "auc",
    "auc_difference",
    "auto_fprs",
    "best_threshold",
    "carry_over",
    "check_precision",
    "choose_guesses",
    "clear_rate",
    "clopper_pearson",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "conformal_p_values",
    "count",
    "decide",
    "epsilon_bound",
    "epsilon_of_records",
    "evaluate",
    "fixed_guesses",
    "gaussian_epsilon",
    "guessing_level",
    "judge",
    "many_runs_bound",
    "mean_over_models",
    "named_as_members",
    "newcombe_difference",
    "nonmember_scores",
    "one_run_bound",
    "one_run_epsilon",
    "one_run_p_value",
    "parse_rule",
    "ppv",
    "ranked_both",
    "roc",
    "roc_band",
    "search_threshold",
    "stands_out",
    "threshold_at_fpr",
    "tpr_at",
    "tpr_at_fpr",
    "tpr_at_no_false_positive",
    "tpr_of_pairs",
    "verdict_of",
]
