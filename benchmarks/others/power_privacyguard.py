"""PrivacyGuard as its tutorials on LiRA and RMIA have it, on data of our own: its data sets, trainer, attacks.

Both attacks read the same shadow models (the tutorials train some for each), so that the second costs next to nothing.
"""

from __future__ import annotations

from typing import Any

import no_torchvision_ops  # noqa: F401
import numpy as np
import pandas as pd
import torch
from power_models import BATCH
from power_worker import Scores, Task, attacked
from privacy_guard.analysis.mia.aggregate_analysis_input import AggregationType
from privacy_guard.attacks.lira_attack import LiraAttack
from privacy_guard.attacks.rmia_attack import RmiaAttack
from privacy_guard.shadow_model_training import create_shadow_datasets, prepare_lira_data, train_model
from privacy_guard.shadow_model_training.dataset import CustomDataset
from privacy_guard.shadow_model_training.training import get_softmax_scores, get_transformed_logits, prepare_rmia_data
from torch.utils.data import DataLoader, Subset

DEVICE = torch.device("cpu")


def attack(task: Task, models: int) -> Scores:
    records, world = CustomDataset(task.x, task.y), CustomDataset(task.world_x, task.world_y)
    shadows = create_shadow_datasets(records, n_shadows=models + 1, seed=task.seed)[0]
    own = (Subset(records, np.flatnonzero(task.member).tolist()), task.member)
    ask, ask_world = (DataLoader(part, batch_size=256, shuffle=False) for part in (records, world))
    trained = []
    for part, _ in shadows:
        loader = DataLoader(part, batch_size=BATCH, shuffle=True)
        trained.append(train_model(task.fresh(), loader, ask_world, epochs=task.epochs, device=DEVICE))
    target = task.target()
    logits = np.array([get_transformed_logits(model, ask, DEVICE) for model in trained])
    frames = prepare_lira_data(get_transformed_logits(target, ask, DEVICE), logits, own, shadows)
    none = AggregationType.NONE
    lira = LiraAttack(
        *frames[:2], row_aggregation=none, use_fixed_variance=True, std_dev_type="mix", online_attack=True
    )
    soft = [[get_softmax_scores(model, part, 1.0, DEVICE) for part in (ask, ask_world)] for model in [target, *trained]]
    refs = [np.stack([pair[side] for pair in soft[1:]], 1) for side in (0, 1)]
    rmia = RmiaAttack(*prepare_rmia_data(*soft[0], *refs, own, shadows), row_aggregation=none)
    return {name: scored(tried, task) for name, tried in (("LiRA", lira), ("RMIA", rmia))}


def scored(tried: Any, task: Task) -> Any:
    """Scores in the order of the records: members and the others are numbered from 0 each."""
    found = tried.run_attack()
    scores = np.full(len(task.y), np.nan)
    for frame, rows in ((found.df_train_merge, task.member), (found.df_test_merge, ~task.member)):
        scores[np.flatnonzero(rows)[frame["user_id"]]] = pd.to_numeric(frame["score"])
    return scores


attacked("privacyguard-platform", attack, ("mlp", "cnn"))
