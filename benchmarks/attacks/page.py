"""The page of figures, made from the JSON: a table a data set, paired differences, what was to be reached."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

OURS, RIVALS = "learned", ("lira-online-fixed", "base", "base, T tuned", "rmia-online", "base-matched")
FEW = "base-matched"  # the headline where there are too few models to learn on
SHOWN = {"auc": "AUC", "tpr": "TPR at 1 % FPR"}
LOW = {"tpr_low": "TPR at 0.1 % FPR"}
Found = dict[str, dict[str, dict[str, list[float]]]]  # shadow models, attack, figure: one value a target


def difference(here: list[float], there: list[float]) -> tuple[float, float, float]:
    """Mean over targets of the paired difference and its 95 % interval (Student's t)."""
    each: NDArray[np.float64] = np.subtract(here, there)
    half = float(stdtrit(len(each) - 1, 0.975)) * each.std(ddof=1) / np.sqrt(len(each))
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def page(run: dict[str, Any]) -> str:
    lines = [
        "# Attacks side by side",
        "",
        f"Made by `make bench-attacks` ({run['date']}, memberwise {run['memberwise']}; "
        "`benchmarks/results/attacks.json` holds every "
        f"figure). Means over {run['targets']} targets, each a model whose complement takes no part; all targets of a "
        "data set share their records and shadow models, so intervals tell how figures vary with the target, not with "
        "records or shadow models. Attacks that ask for more than single answers, and those with an attack model of "
        "their own besides `learned`, are not in it. `base`, `informia` and `rmia-*` read p_y at temperature 2, as an "
        'audit does, where nothing else is said; "T tuned": at the best of five on shadow models in the target\'s '
        "place.",
    ]
    lines += ["", "## What was to be reached", "", *_reached(run["data"])]
    for name, section in run["data"].items():
        lines += ["", f"## {name}", "", section["what"], ""]
        for figure, words in (SHOWN | LOW).items():
            lines += [*_table(section["found"], figure, words), ""]
        lines += _differences(section["found"])
    return "\n".join(lines) + "\n"


def _reached(data: dict[str, Any]) -> list[str]:
    """Of how many paired 95 % intervals ``learned`` lies above its rivals, and below any attack, by data set."""
    rows = [
        f"| | above {', '.join(RIVALS)}, each with as many shadow models: AUC | TPR at 1 % FPR | below some attack | "
        f"6 shadow models above {RIVALS[0]} with 32: AUC | TPR at 1 % FPR |",
        "|---|---|---|---|---|---|",
    ]
    for name, section in data.items():
        found: Found = section["found"]
        ours = {count: at for count, at in found.items() if OURS in at}
        if not ours:
            rows.append(f"| {name} | not measured | | | | |")
            continue
        pairs = [(at[OURS], at[rival]) for at in ours.values() for rival in RIVALS]
        everyone = [(at[OURS], other) for at in ours.values() for who, other in at.items() if who != OURS]
        below = sum(difference(here[f], there[f])[2] < 0 for here, there in everyone for f in SHOWN)
        above = [f"{sum(difference(a[f], b[f])[1] > 0 for a, b in pairs)} of {len(pairs)}" for f in SHOWN]
        few = _cells(ours["6"][OURS], found["32"][RIVALS[0]]) if "6" in ours and "32" in found else " | "
        rows.append(f"| {name} | {' | '.join(above)} | {below} of {2 * len(everyone)} | {few} |")
    return [*rows, "", "An asterisk: the interval does not lie above 0."]


def _table(found: Found, figure: str, words: str) -> list[str]:
    names = sorted({name for attacks in found.values() for name in attacks}, key=lambda name: (name != OURS, name))
    rows = [f"| {words}, shadow models: | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name in names:
        cells = [f"{np.mean(at[name][figure]):.3f}" if name in at else "" for at in found.values()]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def _differences(found: Found) -> list[str]:
    rows = [f"| `{OURS}` less | shadow models | AUC | TPR at 1 % FPR |", "|---|---|---|---|"]
    for count, attacks in found.items():
        if OURS not in attacks:
            for rival in (name for name in RIVALS if name in attacks and name != FEW):
                rows.append(f"| `{FEW}` less {rival} | {count} | {_cells(attacks[FEW], attacks[rival])} |")
            continue
        others = {name: np.mean(at["auc"]) for name, at in attacks.items() if not name.startswith(OURS)}
        best = max(others, key=lambda name: others[name])
        for rival in (*RIVALS, *([best] if best not in RIVALS else [])):
            told = " (best of the others)" if rival == best else ""
            rows.append(f"| {rival}{told} | {count} | {_cells(attacks[OURS], attacks[rival])} |")
    for count in (count for count in ("4", "6") if "32" in found and OURS in found.get(count, {})):
        for rival in (RIVALS[0], "base"):
            rows.append(f"| {rival} with 32 | {count} | {_cells(found[count][OURS], found['32'][rival])} |")
    for count in ("8", "32"):
        if {"2", count} <= set(found):
            cells = _cells(found["2"][FEW], found[count][RIVALS[0]])
            rows.append(f"| `{FEW}` less {RIVALS[0]} with {count} | 2 | {cells} |")
    for count, attacks in found.items():
        for rival in ("lira-offline-fixed", "rmia-offline"):
            if "learned-offline" in attacks:
                cells = _cells(attacks["learned-offline"], attacks[rival])
                rows.append(f"| `learned-offline` less {rival} | {count} | {cells} |")
    return rows


def _cells(here: dict[str, list[float]], there: dict[str, list[float]]) -> str:
    told = []
    for figure in SHOWN:
        mean, low, high = difference(here[figure], there[figure])
        told.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" + ("" if low > 0 else " *"))
    return " | ".join(told)
