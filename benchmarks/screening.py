"""How far ``memberwise screen`` can be trusted: its rankings beside each record's own risk, where that is known.

``python benchmarks/screening.py [--data digits,location30,mnist,adult] [--pools FOLDER] [--models 64]``: trains shadow
models in complementary pairs with their loss traces, screens each model by itself, and compares the ranking of its
members with their AUC_i over the *other* pairs (docs/people.md). Writes ``src/memberwise/screening/trust.json``, which
the package reads. Real data sets come from MEMBERWISE_DATA.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import memberwise.screening
from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.signals.ask import collect
from memberwise.statistics import auc
from memberwise.statistics.personal import cross_pair_auc
from memberwise.statistics.screening import precision_at, rank_correlation, tail_share
from memberwise.study.schema import Study
from memberwise.targets.models import TorchModels
from memberwise.training.trace import QUANTILES

EXPOSED, FIRST, SEED = 0.9, 0.01, 1
Arrays = dict[str, NDArray[Any]]


def study(source: str, members: int, epochs: int, hidden: tuple[int, ...]) -> dict[str, Any]:
    records = {"source": source, "members": members, "nonmembers": members, "population": 500}
    return {"data": records, "model": {"name": "mlp", "hidden": hidden}, "training": {"epochs": epochs}}


POOLS = {
    "digits": study("digits", 600, 30, (128, 128)),
    "location30": study("location30", 1200, 30, (200,)),
    "mnist": study("mnist", 1000, 20, (200, 200)),
    "adult": study("adult", 1000, 60, (200, 200)),
}


def pool(name: str, models: int) -> Arrays:
    """``(m, n)`` of shadow models and audited records: trained_on, loss_range (NaN of non-members), log_p, log_1mp."""
    wanted = POOLS[name] | {"shadow": {"count": models}, "run": {"seed": SEED, "device": "cpu"}, "plan": {"threads": 1}}
    ours = prepare(resolve(Study.model_validate(wanted)), Inputs())
    audited, parts, ranges = ours.roles.audited, [], []
    jobs = [replace(ours.shadow_job(k), traced=True) for k in range(models)]
    block = ours.trainer.describe().block
    for first in range(0, models, block):
        some = jobs[first : first + block]
        trained = ours.trainer.train(some)
        parts.append(collect(trained, some, ours.shadow_questions, vectors=False))
        networks = trained.white_box
        if not isinstance(networks, TorchModels) or networks.traces is None:
            raise RuntimeError("no loss trace was kept")
        for job, trace in zip(some, networks.traces, strict=True):
            row = np.full(len(audited), np.nan)
            spread = trace[QUANTILES.index(0.75)] - trace[QUANTILES.index(0.25)]
            place = {int(index): i for i, index in enumerate(audited)}
            row[[place[int(index)] for index in job.rows]] = spread[: len(job.rows)]
            ranges.append(row)
    answers = {key: np.concatenate([part[f"audited.{key}"][:, :, 0] for part in parts]) for key in ("log_p", "log_1mp")}
    trained_on = np.array([np.isin(audited, job.rows) for job in jobs])
    return answers | {"trained_on": trained_on, "loss_range": np.array(ranges)}


def over_pairs(values: Sequence[float]) -> dict[str, float]:
    """A mean over models with Student's t over pairs."""
    pairs = np.reshape(values, (-1, 2)).mean(1)
    half = stats.t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs))
    return {
        key: round(float(v), 4)
        for key, v in (("value", pairs.mean()), ("low", pairs.mean() - half), ("high", pairs.mean() + half))
    }


def measured(name: str, arrays: Arrays) -> list[dict[str, Any]]:
    """One line for each way to rank."""
    trained_on, log_p = arrays["trained_on"], arrays["log_p"].astype(np.float64)
    phi = log_p - arrays["log_1mp"]
    models = len(trained_on)
    first, second, of_first = phi[::2], phi[1::2], trained_on[::2]
    inside, outside = np.where(of_first, first, second), np.where(of_first, second, first)
    found: dict[str, list[tuple[float, float]]] = {"lt-iqr": [], "loss": []}
    shares, aucs, tails = [], [], []
    for m in range(models):
        others = np.arange(models // 2) != m // 2
        member = trained_on[m]
        risks = cross_pair_auc(inside[others], outside[others])[member]
        exposed = risks > EXPOSED
        shares.append(exposed.mean())
        aucs.append(auc(log_p[m], member).value)
        tails.append(tail_share(-log_p[m], member).value)
        for by, ranking in (("lt-iqr", arrays["loss_range"][m]), ("loss", -log_p[m])):
            values = ranking[member]
            found[by].append((precision_at(values, exposed, FIRST), rank_correlation(values, risks)))
    wanted = POOLS[name]
    common = {
        "data": name,
        "model": f"mlp {wanted['model']['hidden']}, {wanted['training']['epochs']} epochs",
        "members": int(trained_on[0].sum()),
        "models": models,
        "seed": SEED,
    }
    rest = {"exposed": np.mean(shares), "loss_auc": np.mean(aucs), "tail": np.mean(tails)}
    return [
        common
        | {"by": by, "precision": over_pairs([p for p, _ in rows]), "correlation": over_pairs([c for _, c in rows])}
        | {key: round(float(value), 4) for key, value in rest.items()}
        for by, rows in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=",".join(POOLS))
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--pools", type=Path, help="keep what was trained, and use what is kept, here")
    parser.add_argument("--out", type=Path, default=Path(memberwise.screening.__file__).parent / "trust.json")
    asked = parser.parse_args()
    lines = []
    for name in asked.data.split(","):
        kept = None if asked.pools is None else asked.pools / f"screening-{name}-{asked.models}.npz"
        if kept is not None and kept.exists():
            with np.load(kept, allow_pickle=False) as file:
                arrays = dict(file)
        else:
            arrays = pool(name, asked.models)
            if kept is not None:
                np.savez(kept, **arrays)  # type: ignore[arg-type]
        lines += measured(name, arrays)
        for line in lines[-2:]:
            print(line["data"], line["by"], line["precision"], "of all", line["exposed"], line["correlation"])
    asked.out.write_text(json.dumps({"measured": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
