"""The page of cascades, made from the JSON: a table, and by pool what is gained and what falls short."""

from __future__ import annotations

import numpy as np

# Beside as many models at once, and with rounds on top of them.
ALONE, EQUAL, MORE = "learned, 8", "cascade, 4 + 4", ("cascade, 8 + 4", "cascade, 8 + 8")
WAYS = (EQUAL, *MORE)
BELOW, APART, NULL = 0.005, 0.05, "null"
Place = dict[str, dict[str, list[float]]]  # attack, figure: one value a target
Found = dict[str, dict[str, Place]]  # pool, case

HEAD = """# Cascades beside `learned`

Made by `benchmarks/attacks/cascade.py` from `benchmarks/results/cascade.json`: the pools, cases and targets of
[mismatch.md](mismatch.md), and "null", targets that trained on no audited record. Means over the two targets of a case.
"4 + 4": 4 shadow models, then a round of 4 that train on what was found out of the target; "8 + 8": two rounds after 8.
AUC / TPR at 1 % FPR in %; differences of AUC to `learned` with 8; calibration error (ten bins, members and others
weighing alike). How records are released and log
odds added was chosen on Location-30 and MNIST with other records, networks and targets; no other pool took part."""


def page(found: Found) -> str:
    """The whole page."""
    head = ("case", ALONE, *WAYS, "4 + 4 less learned, 8", "8 + 8 less it", "calibration error, 8", "4 + 4", "8 + 8")
    table = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for pool, cases in found.items():
        table.append(f"| **{pool}** |" + " |" * (len(head) - 1))
        table += [_row(case, place) for case, place in cases.items() if complete(place)]
    return "\n".join([HEAD, "", *summary(found), "", *table]) + "\n"


def summary(found: Found) -> list[str]:
    """By pool: what targets like the shadow models lose, and of how many other cases each is true."""
    rows = [
        "| | matched: learned, 8 | 4 + 4 | 8 + 8 | other cases | 4 + 4 above | 8 + 8 above | "
        "below by more than 0.005: 4 + 4 / 8 + 8 | calibration error above 0.05: learned, 8 / 4 + 4 / 8 + 8 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for pool, cases in found.items():
        other = [place for case, place in cases.items() if case not in ("matched", NULL) and complete(place)]
        if "matched" not in cases or not complete(cases["matched"]):
            continue
        cells = [pool] + [_power(cases["matched"][name]) for name in (ALONE, EQUAL, MORE[-1])]
        gains = {name: [_gain(place, name) for place in other] for name in (EQUAL, MORE[-1])}
        cells += [str(len(other)), *(str(sum(gain > 0 for gain in each)) for each in gains.values())]
        cells.append(" / ".join(str(sum(gain < -BELOW for gain in each)) for each in gains.values()))
        cells.append(" / ".join(str(sum(_error(place[name]) > APART for place in other)) for name in (ALONE, *gains)))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def complete(place: Place) -> bool:
    """All figures of a row are there."""
    return {ALONE, *WAYS} <= set(place)


def _gain(place: Place, name: str) -> float:
    return float(np.mean(place[name]["auc"]) - np.mean(place[ALONE]["auc"]))


def _error(one: dict[str, list[float]]) -> float:
    return float(np.mean(one["ece"]))


def _power(one: dict[str, list[float]]) -> str:
    return f"{np.mean(one['auc']):.3f} / {100 * np.mean(one['tpr']):.1f}"


def _row(case: str, place: Place) -> str:
    cells = [case, *(_power(place[name]) for name in (ALONE, *WAYS))]
    cells += [f"{_gain(place, name):+.3f}" for name in (EQUAL, MORE[-1])]
    cells += [f"{_error(place[name]):.3f}" for name in (ALONE, EQUAL, MORE[-1])]
    return f"| {' | '.join(cells)} |"
