"""Settings that are known to make a model remember single records."""

from __future__ import annotations

from collections.abc import Iterator

from memberwise.targets.inspection.findings import Finding
from memberwise.types.foreign import Estimator
from memberwise.types.parts import Plain

FULL_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")


def settings_of(name: str, part: Estimator) -> Iterator[Finding]:
    """Of one estimator, each with what to change."""
    kind, values = type(part).__name__, part.get_params(deep=False)
    for what, fix in _remembering(kind, values):
        yield Finding(code="settings", part=name, message=what, fix=fix)


def _remembering(kind: str, values: Plain) -> Iterator[tuple[str, str]]:
    get = values.get
    gamma, strength = get("gamma"), get("C")
    if kind in FULL_TREES:
        grows = get("max_depth") is None and get("max_leaf_nodes") is None and not get("ccp_alpha")
        if grows and get("min_samples_leaf") == 1 and get("min_samples_split", 2) == 2:
            yield (
                "trees grow until every leaf is of one class (max_depth=None, min_samples_leaf=1)",
                "min_samples_leaf=10",
            )
        if kind in ("RandomForestClassifier", "ExtraTreesClassifier") and get("bootstrap") is False:
            yield "every tree sees every record (bootstrap=False)", "bootstrap=True, with max_samples below 1"
    if "Neighbors" in kind:
        if get("n_neighbors") == 1:
            yield "one neighbour: a training record is answered by itself (n_neighbors=1)", "n_neighbors=10 or more"
        if get("weights") == "distance":
            yield "a training record is its own nearest neighbour (weights='distance')", "weights='uniform'"
    if kind in ("SVC", "NuSVC") and isinstance(gamma, (int, float)) and get("kernel") == "rbf" and gamma >= 10:
        yield f"a kernel so narrow that each record has its own bump (gamma={gamma:g})", "gamma='scale'"
    if kind in ("SVC", "LogisticRegression", "LinearSVC") and isinstance(strength, (int, float)) and strength >= 1000:
        yield f"next to no regularisation (C={strength:g})", "C=1 or less"
    if kind == "LogisticRegression" and get("penalty") is None and "penalty" in values:
        yield "no regularisation (penalty=None)", "penalty='l2'"
    if kind == "MLPClassifier" and not get("early_stopping") and get("alpha", 1) < 1e-3:
        yield (
            f"trained to the end with next to no weight decay (early_stopping=False, alpha={get('alpha'):g})",
            "early_stopping=True, alpha=0.01 or more",
        )
    if kind == "HistGradientBoostingClassifier" and (get("min_samples_leaf") or 20) < 5:
        yield f"leaves of few records (min_samples_leaf={get('min_samples_leaf')})", "min_samples_leaf=20, its default"
    if kind == "GradientBoostingClassifier" and (get("max_depth") is None or get("max_depth", 3) > 8):
        yield f"deep trees (max_depth={get('max_depth')})", "max_depth=3, its default; min_samples_leaf=10"
    if kind == "XGBClassifier" and (get("max_depth") or 6) > 8 and (get("min_child_weight") or 1) <= 1:
        yield f"deep trees with small leaves (max_depth={get('max_depth')}, min_child_weight<=1)", "min_child_weight=5"
    if kind == "LGBMClassifier" and get("min_child_samples", 20) < 5:
        yield (
            f"leaves of few records (min_child_samples={get('min_child_samples')})",
            "min_child_samples=20, its default",
        )
    if kind in ("TfidfVectorizer", "CountVectorizer") and get("min_df") == 1 and get("vocabulary") is None:
        yield (
            "its vocabulary holds words of a single record, names say (min_df=1)",
            "min_df=5: only words that several records have",
        )
    if kind == "OneHotEncoder" and get("min_frequency") is None and get("max_categories") is None:
        yield "a category of a single record gets a feature of its own (min_frequency=None)", "min_frequency=10"
    if kind == "AdaBoostClassifier" and (get("n_estimators") or 50) > 500:
        yield f"many rounds on the hardest records (n_estimators={get('n_estimators')})", "n_estimators=50, its default"
