"""How much surer the recipe's figures are than one target's, and whether shares of records drift with more models.

``python benchmarks/recipe_errors.py [--data adult,cifar10,mnist] [--models 64]``: one audit a data set. One target's
standard error is that of its records alone (a bootstrap, the mean over all models in turn); the recipe's is what its
interval states, over trainings and records, with the attack refitted without groups of pairs. Then the shares of
records above 0.8 and 0.9 from the first and the last half of the pairs, and from a quarter, a half and all of them,
beside the estimates counted (a histogram). Stored in results/recipe-errors.json. ``--models 16 --out FILE``: a trial.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import memberwise as mw
from memberwise.assess.sides import pair_sides
from memberwise.signals.table import Signals
from memberwise.statistics.personal import shares_above
from memberwise.statistics.personal_tables import auc_table
from memberwise.statistics.two_way import two_way

ATTACKS, FPRS, LEVELS = ("lira-online-shrunk", "base"), (0.01, 0.001), (0.8, 0.9)
POOLS: dict[str, tuple[int, list[int], int]] = {  # members, hidden layers, epochs
    "adult": (1000, [200, 200], 30),
    "cifar10": (600, [200], 15),
    "mnist": (1000, [200, 200], 20),
    "location30": (1200, [200], 30),
}


def errors(signals: Signals, recipe: Any, attack: str) -> list[dict[str, Any]]:
    """A line a figure: both standard errors."""
    assert signals.turns is not None
    scores, member = signals.turns[attack], signals.trained_on == 1
    each = two_way(scores, member, np.arange(len(scores)), FPRS, np.random.default_rng(1), 100)
    one = np.sqrt(each.by_cluster[:, :, 1:].var(2, ddof=1).mean(0))
    found = next(row for row in recipe.attacks if row.attack == attack)
    lines = []
    for place, row in enumerate((found.auc, *found.tpr_at_fpr)):
        name = "AUC" if place == 0 else f"TPR at {FPRS[place - 1]:.1%}"
        stated = (row.high - row.low) / 2 / 1.96
        lines.append(
            {
                "attack": attack,
                "figure": name,
                "recipe": [row.low, row.value, row.high],
                "one_target_se": round(float(one[place]), 5),
                "recipe_se": round(stated, 5),
                "times": round(float(one[place] / stated), 2),
            }
        )
    return lines


def shares(signals: Signals, pairs: slice) -> dict[str, Any]:
    """The shares above ``LEVELS`` from some of the pairs, with their intervals, and counted."""
    numbers = np.arange(len(signals.trained_on)).reshape(-1, 2)[pairs].ravel()
    sides = pair_sides(signals.of_models(numbers))
    assert sides is not None
    table = auc_table(sides.pairs, sides.correlation, sides.spread)
    found = shares_above(sides.aucs, table, LEVELS, 0.95, sides.inflation)
    return {
        "pairs": sides.pairs,
        "first": pairs.start or 0,
        "shares": {str(one.level): [round(end, 4) for end in (one.low, one.value, one.high)] for one in found},
        "counted": {str(level): round(float((sides.aucs > level).mean()), 4) for level in LEVELS},
    }


def measured(name: str, models: int) -> dict[str, Any]:
    members, hidden, epochs = POOLS[name]
    settings = {"training.epochs": epochs, "model.hidden": hidden, "run.device": "cpu", "plan.threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        result = mw.audit(
            data=name,
            members=members,
            nonmembers=members,
            model="mlp",
            shadow_models=models,
            attacks=list(ATTACKS),
            settings=settings | {"statistics.fpr": list(FPRS)},
            seed=1,
            out=folder,
        )
        signals = mw.load_signals(folder)
    pairs = models // 2
    parts = [slice(None, pairs // 2), slice(pairs // 2, None), slice(None, pairs // 4), slice(None, None)]
    return {
        "data": name,
        "members": members,
        "hidden": hidden,
        "epochs": epochs,
        "models": models,
        "seed": 1,
        "errors": [line for attack in ATTACKS for line in errors(signals, result.parts.recipe, attack)],
        "shares": [shares(signals, part) for part in parts if len(range(pairs)[part]) >= 8],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=",".join(POOLS))
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "recipe-errors.json")
    asked = parser.parse_args()
    lines = json.loads(asked.out.read_text("utf-8"))["measured"] if asked.out.exists() else []
    for name in asked.data.split(","):
        lines = [line for line in lines if line["data"] != name] + [measured(name, asked.models)]
        print(json.dumps(lines[-1]), flush=True)
        asked.out.write_text(json.dumps({"measured": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
