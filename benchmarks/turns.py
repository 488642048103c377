"""What every model in turn takes: seconds, processor seconds and peak memory, on made-up signals.

``python benchmarks/turns.py``: 2,000 records x 64 shadow models with ``learned``, and 50,000 x 64 with LiRA, BASE and
RMIA: turns, the recipe's figures (refits included) and single people. 100,000 x 10,000: single people alone, answers
mapped from files, as turns would cost too much there. Each runs in a process of its own; stored in results/turns.json.
``--only NAME``: one of them. ``--tiny``: each at a hundredth of its records (and models), stored nowhere.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from attack_speed import in_memory, made_up
from driver_memory import Peak
from machine import machine

from memberwise.assess.people import people_part
from memberwise.assess.recipe import recipe_models, recipe_part
from memberwise.assess.turns import take_all_turns
from memberwise.attacks import ATTACKS
from memberwise.seeds import Seeds
from memberwise.statistics import auto_fprs

# Records, shadow models, attacks; the seconds and megabytes that it may take.
CASES: dict[str, tuple[int, int, tuple[str, ...], float | None, float | None]] = {
    "learned": (2_000, 64, ("learned",), 120, None),
    "scores": (50_000, 64, ("lira-online-shrunk", "base", "rmia-online"), 120, 4096),
    "people": (100_000, 10_000, (), None, None),
}
RESULTS = Path(__file__).parent / "results" / "turns.json"


def measured(name: str, tiny: bool) -> dict[str, Any]:
    records, models, attacks, most_seconds, most_mb = CASES[name]
    if tiny:
        records, models = records // 50, 16 if attacks else models // 100
    with tempfile.TemporaryDirectory() as folder:
        signals, member = made_up(records, models, Path(folder))
        if attacks:
            shadows = None if signals.shadows is None else in_memory(signals.shadows)
            signals = replace(signals, target=in_memory(signals.target), shadows=shadows)
        signals = replace(signals, features=None)
        fprs, seeds, everyone = auto_fprs(int((~member).sum())), Seeds(0), np.ones(records, bool)
        peak = Peak()
        time.sleep(0.2)
        before, start, busy = peak.anonymous, time.perf_counter(), time.process_time()
        with peak.stage(name, sys.stderr):
            named = [ATTACKS[one] for one in attacks]
            turns = take_all_turns(signals, named, range(models), everyone, seeds) if named else []
            turned = time.process_time() - busy
            recipe = recipe_part(recipe_models(signals, named, turns, everyone, fprs, seeds, None), 0.95)
            people = people_part(signals, member, turns, [str(k) for k in range(100)], 0.95, seeds)
        assert people is not None
        return {
            "case": name,
            "records": records,
            "models": models,
            "attacks": list(attacks),
            "seconds": round(time.perf_counter() - start, 1),
            "processor_seconds": round(time.process_time() - busy, 1),
            "of_them_turns": round(turned, 1),
            "peak_mb": peak.resident,
            "of_it_no_files_mb": peak.anonymous,
            "no_files_before_mb": before,
            "most_seconds": most_seconds,
            "most_mb": most_mb,
            "recipe_auc": None if recipe is None else [recipe.auc.low, recipe.auc.value, recipe.auc.high],
            "above_0.9": [people.share_above[-1].low, people.share_above[-1].value, people.share_above[-1].high],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--here", action="store_true", help="in this process, printing what was measured")
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(measured(asked.only, asked.tiny)))
        return
    found = {} if not RESULTS.exists() else json.loads(RESULTS.read_text("utf-8"))["cases"]
    for name in [asked.only] if asked.only else CASES:
        command = [sys.executable, __file__, "--here", "--only", name, *(["--tiny"] if asked.tiny else [])]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
        found[name] = json.loads(done.stdout.strip().split("\n")[-1])
        print(json.dumps(found[name]))
        if not asked.tiny:
            RESULTS.write_text(json.dumps({"machine": machine(), "cases": found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
