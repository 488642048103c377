"""PrivacyGuard's attacks and statistics on arrays of ours: ``python agree_privacyguard.py IN.npz OUT.npz``."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from privacy_guard.analysis.mia.aggregate_analysis_input import AggregationType
from privacy_guard.analysis.mia.mia_results import MIAResults
from privacy_guard.attacks.calib_attack import CalibAttack, CalibScoreType
from privacy_guard.attacks.lira_attack import LiraAttack
from privacy_guard.attacks.rmia_attack import RmiaAttack

Floats = NDArray[np.float64]

given = np.load(sys.argv[1])
member, trained_on = given["member"], given["trained_on"]
records = np.arange(len(member))


def scored(attack: Any) -> Floats:
    """Scores in our order: members are its "train", non-members its "test"."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = attack.run_attack()
    both = pd.concat([found.df_train_merge, found.df_test_merge])
    return np.asarray(both.set_index("user_id")["score"].loc[records], np.float64)


def lira(**options: Any) -> Floats:
    frame = pd.DataFrame({"user_id": records, "score_orig": given["target_phi"]})
    for side, name in ((1, "in"), (0, "out")):
        of_side = pd.DataFrame(np.where(trained_on == side, given["shadow_phi"], np.nan).T)
        frame[f"score_mean_{name}"], frame[f"score_std_{name}"] = of_side.mean(axis=1), of_side.std(axis=1)
    frame["score_mean"], frame["score_std"] = frame["score_mean_out"], frame["score_std_out"]
    parts = (frame[member].copy(), frame[~member].copy())
    return scored(LiraAttack(*parts, row_aggregation=AggregationType.NONE, **options))


def rmia(**options: Any) -> Floats:
    def frame(own: Floats, theirs: Floats, flags: NDArray[Any]) -> pd.DataFrame:
        columns: dict[str, NDArray[Any]] = {"user_id": np.arange(len(own)), "score_orig": own}
        columns |= {f"score_ref_{k}": row for k, row in enumerate(theirs)}
        return pd.DataFrame(columns | {f"member_ref_{k}": row.astype(bool) for k, row in enumerate(flags)})

    audited = frame(given["target_p"], given["shadow_p"], trained_on)
    world = frame(given["world_target_p"], given["world_shadow_p"], np.zeros_like(given["world_shadow_p"]))
    world["user_id"] += len(audited)
    parts = (audited[member].copy(), audited[~member].copy(), world)
    return scored(RmiaAttack(*parts, row_aggregation=AggregationType.NONE, **options))


def tuned_a() -> Any:
    attack = RmiaAttack.__new__(RmiaAttack)
    attack.alpha_coefficient = 0.3
    with contextlib.redirect_stdout(io.StringIO()):
        flags = trained_on.T.astype(bool)
        return attack._auto_tune_alpha_coefficient(0, given["shadow_p"].T, flags, given["world_shadow_p"].T)


def calibration() -> Floats:
    frames = [
        pd.DataFrame({"user_id": records, "label": 1, "predictions": p})
        for p in (given["target_p"], given["shadow_p"][0])
    ]
    parts = [frame[side].copy() for frame in frames for side in (member, ~member)]
    attack = CalibAttack(
        *parts,
        row_aggregation=AggregationType.NONE,
        should_calibrate_scores=True,
        score_type=CalibScoreType.LOSS,
    )
    return scored(attack)


def statistics(inside: Floats, outside: Floats) -> Any:
    """Best accuracy, AUC, largest epsilon over all thresholds (Clopper-Pearson at each)."""
    return MIAResults(torch.from_numpy(inside), torch.from_numpy(outside)).compute_acc_auc_ci_epsilon(1e-5)


all_models = len(trained_on)
np.savez(
    sys.argv[2],
    lira_own=lira(online_attack=True),
    lira_mix=lira(online_attack=True, use_fixed_variance=True, std_dev_type="mix"),
    lira_global=lira(online_attack=True, use_fixed_variance=True, std_dev_type="global"),
    lira_offline=lira(std_dev_type="shadows_out"),
    rmia_online=rmia(online=True, num_reference_models=all_models),
    rmia_online_default=rmia(online=True),
    rmia_offline=rmia(),
    rmia_tuned_a=tuned_a(),
    calibration=calibration(),
    statistics=statistics(given["inside"], given["outside"]),
    null_epsilon=[statistics(a, b)[2] for a, b in zip(given["null_inside"], given["null_outside"], strict=True)],
)
