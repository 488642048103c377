"""The time to power: whole processes from data to scores, ours and other tools' end to end: ``make bench-power``.

Every task (KINDS of ``power_tasks.py``) is a trained target and its records, the same for all; a process trains its
shadow models, attacks and ends. Ours is an ordinary ``memberwise audit``; the others are scripts of ``others/`` in the
environment of ``make bench-others``. Tools take turns within a number of shadow models. What
benchmarks/results/power.json holds is not measured again (--again does), so that the command goes on where it stopped;
--task, --tool, --shadows and --seed (repeatable) measure a part. --tiny shows only that it runs. --page writes the
table of docs/power.md from what is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from contestants import OTHERS
from machine import Watch, machine, versions
from numpy.typing import NDArray
from power_page import DOCS, page
from power_tasks import KINDS, audit_command, make_task

from memberwise.statistics.auc import auc
from memberwise.statistics.tpr import tpr_at_fpr

HERE, COUNTS, OURS = Path(__file__).parent, (2, 4, 6, 16, 64), "memberwise"
TOOLS = {OURS: "", **{tool: f"power_{tool.lower().replace('-', '')}.py" for tool in ("PrivacyGuard", "ART", "amulet")}}
TOOLS["SACRO-ML"] = "power_sacroml.py"
# A process that takes longer is ended, and that is told.
LONGEST = 3 * 3600
Scores = dict[str, NDArray[np.float64]]


def whole_process(command: list[str], where: Path) -> dict[str, Any]:
    """Wall and processor seconds of a process and all that it started; why it failed, where it did."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=LONGEST, check=False)
        failure = (
            ""
            if done.returncode == 0
            else " ".join(done.stderr.split("\n")[-6:]).strip()[-400:] or f"exit code {done.returncode}"
        )
    except subprocess.TimeoutExpired:
        failure = f"ended after {LONGEST} s"
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(processor, 2),
        **({"failure": failure} if failure else {}),
    }


def ours(task: Path, models: int, folder: Path) -> tuple[dict[str, Any], Scores]:
    row = whole_process(audit_command(task, models, folder / "run"), folder)
    if "failure" in row:
        return row, {}
    result = json.loads((folder / "run" / "result.json").read_text())
    row |= {"headline": result["headline"], "plan": result["shadow"]["plan"], "version": result["memberwise_version"]}
    row["stages"] = {one["stage"]: round(one["seconds"], 2) for one in result["stages"]}
    with (folder / "run" / "scores.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda each: int(each["index"]))
    names = [name for name in rows[0] if name not in ("index", "label", "member", "evaluated")]
    # A blank is a record which that attack does not score.
    return row, {name: np.array([float(each[name] or "nan") for each in rows]) for name in names}


def theirs(script: str, task: Path, models: int, folder: Path) -> tuple[dict[str, Any], Scores]:
    python, out = OTHERS / "bin" / "python", folder / "scores.npz"
    row = whole_process([str(python.absolute()), script, str(task), str(models), str(out)], HERE / "others")
    if "failure" in row:
        return row, {}
    row |= json.loads(out.with_suffix(".json").read_text())
    return row, dict(np.load(out)) if "not_for" not in row else {}


def figures(scores: Scores, member: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """AUC with its 95 % interval and TPR at 1 % FPR of each attack, over the records that it scores."""
    found = {}
    for name, values in scores.items():
        scored = ~np.isnan(values)
        if min(member[scored].sum(), (~member[scored]).sum()) < 2:
            continue
        area, rate = auc(values[scored], member[scored]), tpr_at_fpr(values[scored], member[scored], 0.01)
        figure = {"auc": area.value, "low": area.low, "high": area.high, "tpr": rate.value}
        found[name] = {key: round(float(value or 0.0), 5) for key, value in figure.items()} | {"n": int(scored.sum())}
    return found


def measure(tool: str, task: Path, models: int) -> dict[str, Any]:
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        row, scores = ours(task, models, run) if tool == OURS else theirs(TOOLS[tool], task, models, run)
    member = np.load(task / "records.npz")["member"]
    row |= {"attacks": figures(scores, member), "date": datetime.now(UTC).date().isoformat()}
    row |= {"others_share": watch.others_share(), "threads": os.environ.get("OMP_NUM_THREADS")}
    return row | {"processor": machine()["processor"], "cores": machine()["cores"]}


def not_installed() -> dict[str, str]:
    """Tools that cannot take part, and why."""
    if not OTHERS.exists():
        return {tool: "not installed: `make bench-others`" for tool in TOOLS if tool != OURS}
    report = OTHERS / "installed.json"
    outcome = json.loads(report.read_text()) if report.exists() else {}
    return {
        tool: f"does not install: {had['failure']}"
        for tool, package in (
            ("PrivacyGuard", "privacyguard-platform"),
            ("ART", "adversarial-robustness-toolbox"),
            ("amulet", "amuletml"),
            ("SACRO-ML", "sacroml"),
        )
        if (had := outcome.get(package, {})).get("failure")
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--tool", action="append", choices=list(TOOLS), metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("--shadows", action="append", type=int, metavar="K")
    parser.add_argument("--seed", action="append", type=int, metavar="N", help="each another target; 1 by default")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "memberwise" / "bench-power")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "power.json")
    parser.add_argument("--again", action="store_true", help="measure anew what the results hold already")
    parser.add_argument("--tiny", action="store_true", help="digits: shows that it runs, measures nothing")
    parser.add_argument("--note", help="said with every row, such as that other work ran beside it")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    asked = parser.parse_args()
    names = asked.task or [name for name in KINDS if name.startswith("tiny") == asked.tiny]
    counts = asked.shadows or ([2, 4] if asked.tiny else list(COUNTS))
    if asked.tiny and asked.out == parser.get_default("out"):
        asked.folder.mkdir(parents=True, exist_ok=True)
        asked.out = asked.folder / "tiny.json"  # no figures to keep
    run: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    missing = not_installed()
    run |= {"machine": machine(), "versions": versions(), "missing": missing}
    for name in [] if asked.page else names:
        for seed in asked.seed or [1]:
            task = make_task(name, seed, asked.folder)
            for models in counts:
                for tool in asked.tool or TOOLS:
                    where = {"task": name, "seed": seed, "models": models, "tool": tool}
                    known = [row for row in run["rows"] if where.items() <= row.items()]
                    if tool in missing or (known and not asked.again):
                        continue
                    row = where | measure(tool, task, models) | ({"note": asked.note} if asked.note else {})
                    run["rows"] = [other for other in run["rows"] if other not in known] + [row]
                    asked.out.write_text(json.dumps(run, indent=1) + "\n")
                    best = max((figure["auc"] for figure in row["attacks"].values()), default=float("nan"))
                    said = row.get("failure") or row.get("not_for") or f"best AUC {best:.4f}"
                    print(f"{name}, seed {seed}, {models} models, {tool}: {row['seconds']:.1f} s, {said}", flush=True)
    if not asked.tiny:
        DOCS.write_text(page(run))
    for tool, why in missing.items():
        print(f"{tool}: {why}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
