"""Whole audits beside a plain script that does the same with a loop: start-up, target, signals and attacks told apart.

``python benchmarks/audits.py [--sizes 15s,1m,5m,20m] [--turns 3] [--attacks default] [--out FILE]``: each size is an
audit of MNIST (784-200-200-10, batch 64, 20 epochs, 32 shadow models) with so many records that the loop takes about
that long on two cores. ``memberwise audit`` and ``python benchmarks/audits.py --loop ...``, which trains such models
one by one in float32, asks each about the same records and gives LiRA's AUC, take turns as processes of their own; the
whole process is timed, and its processor time. Stored in benchmarks/results/audits.json, joined with what is there of
other sizes. MNIST comes from MEMBERWISE_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
# Records on either side, epochs, shadow models. "tiny" shows only that it runs.
SIZES = {
    "tiny": (200, 2, 4),
    "15s": (600, 20, 32),
    "1m": (2400, 20, 32),
    "5m": (12_000, 20, 32),
    "20m": (24_000, 20, 64),
}
HIDDEN, BATCH, RATE, MOMENTUM, SEED = (200, 200), 64, 0.05, 0.9, 1


def loop(records: int, epochs: int, models: int) -> None:
    """The plain script; prints what it found and where its time went."""
    begun = time.perf_counter()
    import torch
    from torch import nn
    from torch.nn import functional

    from memberwise.data.sources import load

    spent = {"start-up": time.perf_counter() - begun}
    data = load("mnist")
    x, y = torch.from_numpy(data.x[: 2 * records]).float().div_(255), torch.from_numpy(data.y[: 2 * records])
    x = x.flatten(1)
    spent["data"] = time.perf_counter() - begun - sum(spent.values())
    rng, phi, inside = np.random.default_rng(SEED), [], []
    spent |= {"target": 0.0, "signals": 0.0}
    for k in range(models + 1):
        rows = rng.permutation(2 * records)[:records]
        torch.manual_seed(k)
        sizes = [x.shape[1], *HIDDEN, 10]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
        steps = epochs * -(-records // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for batch in torch.from_numpy(rng.permutation(rows)).split(BATCH):
                optimiser.zero_grad()
                functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimiser.step()
                schedule.step()
        with torch.no_grad():
            log_p = functional.log_softmax(model(x).double(), 1).gather(1, y[:, None])[:, 0].numpy()
        phi.append(log_p - np.log(-np.expm1(np.minimum(log_p, -1e-12))))
        inside.append(np.isin(np.arange(2 * records), rows))
        stage = "target" if k == 0 else "signals"
        spent[stage] += time.perf_counter() - begun - sum(spent.values())
    answers, sides = np.stack(phi[1:]), np.stack(inside[1:])
    means = [np.where(side, answers, np.nan) for side in (sides, ~sides)]
    ins, outs = (np.nanmean(part, 0) for part in means)
    widths = [np.nanstd(part - mean) for part, mean in zip(means, (ins, outs), strict=True)]
    score = -((phi[0] - ins) ** 2) / (2 * widths[0] ** 2) + (phi[0] - outs) ** 2 / (2 * widths[1] ** 2)
    from scipy.stats import rankdata

    usable = ~np.isnan(score)
    ranks, member = rankdata(score[usable]), inside[0][usable]
    auc = (ranks[member].sum() - member.sum() * (member.sum() + 1) / 2) / (member.sum() * (~member).sum())
    spent["attacks"] = time.perf_counter() - begun - sum(spent.values())
    print(json.dumps({"auc": float(auc), "stages": spent}))


def ours(records: int, epochs: int, models: int, attacks: str, out: Path) -> list[str]:
    """The command of the audit."""
    roles = ["--members", str(records), "--nonmembers", str(records), "--population", str(min(records, 2000))]
    recipe = ["--set", f"training.epochs={epochs}", "--shadow-models", str(models), "--attacks", attacks]
    end = ["--seed", str(SEED), "--out", str(out), "--quiet"]
    return [sys.executable, "-m", "memberwise.cli.main", "audit", "--data", "mnist", *roles, *recipe, *end]


def timed(command: list[str]) -> tuple[dict[str, Any], str]:
    """Seconds and processor seconds of a whole process, and what it printed.

    Raises:
        CalledProcessError: it failed.
    """
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor_seconds": processor}, done.stdout


def measure(size: str, turns: int, attacks: str) -> dict[str, Any]:
    """One size: turns of both, each a process; ratios are of one turn."""
    records, epochs, models = SIZES[size]
    rows = []
    for turn in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            audit, _ = timed(ours(records, epochs, models, attacks, Path(folder) / "run"))
            result = json.loads((Path(folder) / "run" / "result.json").read_text())
        plain = [sys.executable, __file__, "--loop", str(records), str(epochs), str(models)]
        script, printed = timed(plain)
        said = json.loads(printed)
        stages = {one["stage"]: one["seconds"] for one in result["stages"]}
        audit |= {"stages": stages, "plan": result["shadow"]["plan"]}
        aucs = {attack["name"]: attack["auc"]["value"] for attack in result["attacks"]}
        audit["auc"] = aucs.get("lira-online-fixed")
        rows.append({"turn": turn, "audit": audit, "script": script | said})
        print(f"{size} turn {turn + 1}: audit {audit['seconds']:.1f} s, script {script['seconds']:.1f} s", flush=True)
    ratios = [row["script"]["seconds"] / row["audit"]["seconds"] for row in rows]
    middle = float(np.median(ratios))
    print(f"{size}: whole process {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times as fast as the script")
    for stage, seconds in rows[-1]["audit"]["stages"].items():
        print(f"    {stage:<14}{seconds:8.2f} s    script {rows[-1]['script']['stages'].get(stage, 0.0):8.2f} s")
    sizes = {"records": 2 * records, "epochs": epochs, "models": models, "attacks": attacks}
    return {**sizes, "ratio": {"median": middle, "low": min(ratios), "high": max(ratios), "n": turns}, "turns": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="15s,1m,5m,20m", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--attacks", default="default")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "audits.json")
    parser.add_argument("--loop", nargs=3, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        loop(*arguments.loop)
        return
    from machine import Watch, machine, versions

    sizes = arguments.sizes.split(",")
    if unknown := set(sizes) - SIZES.keys():
        parser.error(f"no size {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for size in sizes:
        watch = Watch()
        measured = measure(size, arguments.turns, arguments.attacks)
        where = {"machine": machine(), "versions": versions(), "threads": os.environ.get("OMP_NUM_THREADS")}
        when = {"date": datetime.now(UTC).date().isoformat(), "others_share": watch.others_share()}
        known[size] = {**measured, **where, **when}
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
