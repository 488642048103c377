"""Does the recipe's interval hold the mean over fresh models of the same recipe, that it was never shown?

``python benchmarks/fresh_models.py [--data own,mnist,location30] [--pools 30] [--seed 1]``: each pool holds records of
its own; an audit of each trains 16 shadow models (26 of Location-30, whose records make 8 pools). The interval of a
pool is right where it holds the mean over all models of the *other* pools: new trainings, on new records, each attacked
with shadow models of its own pool. That mean has an error, too, which is not counted in the interval's favour. Stored
in results/fresh-models.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification

import memberwise as mw
from memberwise.data import load
from memberwise.statistics.two_way import figures_of

ATTACKS, FPR = ("lira-online-shrunk", "base"), 0.01


@dataclass(frozen=True)
class Pools:
    """Records in pools of ``size``; half of each are the target's members."""

    size: int
    shadows: int
    hidden: tuple[int, ...]
    epochs: int


KINDS = {
    "own": Pools(800, 16, (64,), 30),
    "mnist": Pools(1000, 16, (100, 100), 15),
    "location30": Pools(600, 26, (200,), 30),
}


def records(name: str, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """``own``: made up, ten classes, a tenth of the labels wrong."""
    if name == "own":
        x, y = make_classification(
            24_000, 30, n_informative=12, n_redundant=4, n_classes=10, flip_y=0.1, random_state=seed
        )
        return x.astype(np.float32), y
    data = load(name, progress=False)
    return data.x, data.y


def audited(kind: Pools, data: Any, rows: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Of each attack: the recipe's AUC and TPR with their ends, and those of each model in turn."""
    settings = {
        "training.epochs": kind.epochs,
        "model.hidden": list(kind.hidden),
        "run.device": "cpu",
        "plan.threads": 1,
        "statistics.fpr": [FPR],
    }
    half = kind.size // 2
    with tempfile.TemporaryDirectory() as folder:
        result = mw.audit(
            data=data,
            members=rows[:half],
            nonmembers=rows[half:],
            model="mlp",
            shadow_models=kind.shadows,
            attacks=list(ATTACKS),
            settings=settings,
            seed=seed,
            out=folder,
        )
        turns = mw.load_signals(folder, data=data, members=rows[:half], nonmembers=rows[half:])
    recipe, found = result.parts.recipe, {}
    assert recipe is not None
    assert turns.turns is not None
    for one in recipe.attacks:
        each = [
            figures_of(scores, inside, (FPR,)).tolist()
            for scores, inside in zip(turns.turns[one.attack], turns.trained_on == 1, strict=True)
        ]
        ends = [[row.low, row.value, row.high] for row in (one.auc, one.tpr_at_fpr[0])]
        found[one.attack] = {"recipe": ends, "models": each}
    return found


def coverage(pools: list[dict[str, Any]], attack: str, which: int) -> dict[str, Any]:
    """How many pools' intervals hold the mean over the models of the others."""
    ends = np.array([pool[attack]["recipe"][which] for pool in pools])
    means = np.array([np.mean([model[which] for model in pool[attack]["models"]]) for pool in pools])
    others = (means.sum() - means) / (len(means) - 1)
    held = (ends[:, 0] <= others) & (others <= ends[:, 2])
    return {
        "attack": attack,
        "figure": ("AUC", f"TPR at {FPR:.0%}")[which],
        "pools": len(pools),
        "fresh_models": (len(pools) - 1) * len(pools[0][attack]["models"]),
        "held": int(held.sum()),
        "mean": round(float(means.mean()), 4),
        "between_pools": round(float(means.std(ddof=1)), 5),
        "half_width": round(float((ends[:, 2] - ends[:, 0]).mean() / 2), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=",".join(KINDS))
    parser.add_argument("--pools", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fresh-models.json")
    asked = parser.parse_args()
    lines = json.loads(asked.out.read_text("utf-8"))["measured"] if asked.out.exists() else []
    for name in asked.data.split(","):
        kind, data = KINDS[name], records(name, asked.seed)
        order = np.random.default_rng(asked.seed).permutation(len(data[1]))
        count = min(asked.pools, len(order) // kind.size)
        pools = []
        for k in range(count):
            rows = order[k * kind.size : (k + 1) * kind.size]
            pools.append(audited(kind, data, rows, 1000 * asked.seed + k))
            print(name, k + 1, "of", count, flush=True)
        lines = [line for line in lines if line["data"] != name]
        for attack in ATTACKS:
            lines += [{"data": name, "seed": asked.seed} | coverage(pools, attack, which) for which in (0, 1)]
        asked.out.write_text(json.dumps({"measured": lines}, indent=1) + "\n", "utf-8")
    print(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
