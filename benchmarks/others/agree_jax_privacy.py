"""jax-privacy's auditing statistics on scores of ours: ``python agree_jax_privacy.py IN.npz OUT.npz``.

Its module of statistics is loaded by itself: the package's own import wants jax, which no statistic uses.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

package = importlib.util.find_spec("jax_privacy")
assert package is not None
assert package.submodule_search_locations is not None
[place] = package.submodule_search_locations
spec = importlib.util.spec_from_file_location("auditing", Path(place) / "auditing.py")
assert spec is not None
assert spec.loader is not None
auditing = sys.modules["auditing"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(auditing)

given = np.load(sys.argv[1])
auditor = auditing.CanaryScoreAuditor(given["inside"], given["outside"])
at = auditing.Explicit(float(given["threshold"]))
intervals = auditing.BootstrapParams(seed=0)


def null(bound: Callable[[Any], float]) -> list[float]:
    return [
        bound(auditing.CanaryScoreAuditor(a, b))
        for a, b in zip(given["null_inside"], given["null_outside"], strict=True)
    ]


np.savez(
    sys.argv[2],
    auc=auditor.attack_auroc(),
    auc_interval=auditor.attack_auroc(bootstrap_params=intervals),
    tpr=auditor.tpr_at_given_fpr(given["fprs"]),
    tpr_interval=[auditor.tpr_at_given_fpr(fpr, bootstrap_params=intervals) for fpr in given["fprs"]],
    accuracy=auditor.max_accuracy(prevalence=0.5),
    epsilon=auditor.epsilon_clopper_pearson(0.05, 1e-5, one_sided=False, threshold_strategy=at),
    one_run=auditor.epsilon_one_run(0.05, 1e-5, threshold_strategy=at),
    null_epsilon=null(lambda one: one.epsilon_clopper_pearson(0.05, 1e-5, one_sided=False)),
    null_gdp=null(lambda one: one.epsilon_from_gdp(0.05, 1e-5)),
    null_auc=null(lambda one: one.attack_auroc()),
    null_raw=null(lambda one: one.epsilon_raw_counts(min_count=10, delta=1e-5)),
)
