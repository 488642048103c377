"""Types in skops files that are loaded by name though skops does not know them: plain parts of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Parts of estimators that hold parameters alone, and pure functions: loading one runs nothing but its own module, and
# what is called later is of this table, or skops' own. ``functools.partial`` only binds arguments of such a function.
OF_MODULES: Mapping[str, str] = {
    "builtins": "object",
    "functools": "partial",
    "numpy": "dtype number mean",
    "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    # In the first, lists of columns of scikit-learn 1.5 to 1.8.
    "sklearn.compose._column_transformer": "_RemainderColsList make_column_selector",
    "sklearn.feature_selection._mutual_info": "mutual_info_classif",
    "sklearn.feature_selection._univariate_selection": "chi2 f_classif",
    "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern "
    "Product RBF RationalQuadratic Sum WhiteKernel",
    "sklearn.impute._iterative": "IterativeImputer _ImputerTriplet",
    "sklearn.metrics._classification": "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score "
    "f1_score jaccard_score log_loss matthews_corrcoef precision_score recall_score",
    "sklearn.metrics._ranking": "average_precision_score roc_auc_score top_k_accuracy_score",
    "sklearn.metrics._scorer": "_CurveScorer _PassthroughScorer _Scorer",
    "sklearn.model_selection._split": "GroupKFold KFold StratifiedGroupKFold StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "sklearn.utils._bunch": "Bunch",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    "sklearn.utils.validation": "check_array",
}


def _full_names() -> Iterator[str]:
    for module, names in OF_MODULES.items():
        yield from (f"{module}.{name}" for name in names.split())


PLAIN = frozenset(_full_names())
