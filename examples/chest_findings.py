"""Audit a model of several findings an image: a sigmoid each, one record with several labels."""

from typing import Any

import numpy as np
from torch import nn

import memberwise as mw

FINDINGS = ["effusion", "oedema", "mass"]


def make_model(shape: Any, classes: Any) -> Any:
    return nn.Sequential(nn.Linear(shape[0], 64), nn.ReLU(), nn.Linear(64, classes))  # a logit a finding


def records(count: int = 600, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 20)).astype(np.float32)
    return {"x": x, "y": (x[:, :3] + rng.normal(size=(count, 3)) > 0.5).astype(int), "classes": FINDINGS}


def main(shadow_models: int = 16, epochs: int = 20, **settings: Any) -> Any:
    sizes: dict[str, Any] = {"members": 200, "nonmembers": 200, "population": 200, "shadow_models": shadow_models}
    return mw.audit(model=make_model, data=records(), settings={"training.epochs": epochs} | settings, **sizes)


if __name__ == "__main__":
    print(main())  # of one finding alone: main(**{"attacks.label": "mass"})
