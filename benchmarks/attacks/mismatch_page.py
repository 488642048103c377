"""The page of mismatches, made from the JSON: a table, and what falls short of the aim."""

from __future__ import annotations

from typing import Any

import numpy as np

RIVALS = ("lira-online-fixed", "base T=2", "rmia-online", "loss")
SHOWN = RIVALS[:3]
BELOW, APART = 0.005, 0.05  # how far below the best rival, and how far from calibrated, is within the aim
Place = dict[str, dict[str, list[float]]]  # attack, figure: one value a target
Found = dict[str, dict[str, dict[str, Place]]]  # pool, case, shadow models
COUNTS = ("8", "4")

HEAD = """# Targets trained unlike their shadow models

Made by `benchmarks/attacks/mismatch.py` from `benchmarks/results/mismatch.json`. Each pool has 8 shadow models and two
targets a case (1,200 audited records, LFW 1,000; population 1,000, LFW 300), seed 3; means over the two targets. AUC /
TPR at 1 % FPR in % with 8 shadow models; `learned` less the best of LiRA, BASE at T = 2, RMIA and loss, and its
calibration error (ten bins, members and others weighing alike), with 8 and with 4; in brackets how many of the two
targets are marked as uncalibrated. An error of 0.02 to 0.03 is what probabilities that hold have on so many records.
The attack was chosen on Adult and MNIST, how it is calibrated on Adult (networks, forests) and MNIST; other pools took
no part."""


def page(found: Found) -> str:
    """The table, and how many cases fall short, by pool."""
    head = ("case", *SHOWN, "learned", "less the best, 8", "4", "calibration error, 8", "4")
    table = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for pool, cases in found.items():
        table.append(f"| **{pool}** |" + " |" * (len(head) - 1))
        table += [_row(case, counts) for case, counts in cases.items()]
    return "\n".join([HEAD, "", *short(found), "", *table]) + "\n"


def short(found: Found) -> list[str]:
    """By pool, of how many cases each is true, with 8 and with 4 shadow models."""
    rows = [
        "| cases, with 8 / 4 shadow models | all | AUC more than 0.005 below the best | calibration error above 0.05 | "
        "of these marked | others marked | largest error unmarked |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, pools in [*((pool, [pool]) for pool in found), ("all", list(found))]:
        each = [[_case(found[pool][case][k]) for pool in pools for case in found[pool]] for k in COUNTS]
        cells = [str(len(each[0]))]
        for tell in (
            lambda one: one["lead"] < -BELOW,
            lambda one: one["error"] > APART,
            lambda one: one["error"] > APART and one["marked"] > 0,
            lambda one: one["error"] <= APART and one["marked"] > 0,
        ):
            cells.append(" / ".join(str(sum(map(tell, cases))) for cases in each))
        worst = [max([one["error"] for one in cases if not one["marked"]], default=np.nan) for cases in each]
        cells.append(" / ".join(f"{error:.3f}" for error in worst))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _case(place: Place) -> dict[str, float]:
    ours = place["learned"]
    best = max(float(np.mean(place[name]["auc"])) for name in RIVALS if name in place)
    return {
        "lead": float(np.mean(ours["auc"])) - best,
        "error": float(np.mean(ours["ece"])),
        "marked": sum(value == 0 for value in ours["calibrated"]),
    }


def _row(case: str, counts: dict[str, Place]) -> str:
    place = counts[COUNTS[0]]
    cells = [case]
    for name in (*SHOWN, "learned"):
        cells.append(f"{np.mean(place[name]['auc']):.3f} / {100 * np.mean(place[name]['tpr']):.1f}")
    each = [_case(counts[k]) for k in COUNTS]
    cells += [f"{one['lead']:+.3f}" for one in each]
    cells += [f"{one['error']:.3f}" + (f" ({one['marked']:.0f})" if one["marked"] else "") for one in each]
    return f"| {' | '.join(cells)} |"


def complete(found: dict[str, Any]) -> bool:
    """Every case has all figures that the page shows."""
    return all(
        {*SHOWN, "learned"} <= set(counts.get(k, {})) and "calibrated" in counts[k]["learned"]
        for cases in found.values()
        for counts in cases.values()
        for k in COUNTS
    )
