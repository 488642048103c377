"""The page of the time to power, made from its JSON."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

DOCS = Path(__file__).parent.parent / "docs" / "power.md"
OURS, REFERENCE, MOST, NEAR = "memberwise", ("lira-online", "lira-online-fixed"), 64, 0.002
Row = dict[str, Any]


def page(run: Row) -> str:
    rows = [row for row in run["rows"] if not row["task"].startswith("tiny")]
    machine, versions = run["machine"], run["versions"]
    lines = [
        "# The time to power",
        "",
        "From data to the scores of every audited record: whole processes, imports, shadow models, attacks and report "
        "included. The target is trained beforehand and the same for all, by the recipe that PrivacyGuard and amulet "
        "fix in their trainers (SGD 0.01, momentum 0.9, weight decay 5e-4, cosine; batches of 64); each tool trains "
        "shadow models of its architecture on halves of the audited records. Ours is an ordinary `memberwise audit` "
        "with its own plan and all default attacks, credited with its headline alone; the others follow their "
        "documentation (`benchmarks/others/power_*.py`) and are credited with the best of their attacks. Made by "
        "`make bench-power`; `benchmarks/results/power.json` holds every figure, with intervals.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
    ]
    lines += [f"{tool}: {why}." for tool, why in run["missing"].items()]
    if not rows:
        return "\n".join([*lines, "", "Not run yet."]) + "\n"
    lines += ["", "## Seconds until equal power", "", *_reached(rows)]
    for task in dict.fromkeys(row["task"] for row in rows):
        lines += ["", f"## {task}", "", *_table([row for row in rows if row["task"] == task])]
    notes = sorted({row["note"] for row in rows if "note" in row})
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def credited(row: Row) -> tuple[str, Row] | None:
    """The attack that counts for the tool, and its figures."""
    found = row["attacks"]
    if not found:
        return None
    name = row["headline"] if row["tool"] == OURS else max(found, key=lambda each: found[each]["auc"])
    return (name, found[name]) if name in found else None


def _groups(rows: list[Row]) -> dict[tuple[str, int], list[Row]]:
    """Rows of one tool and number of models, over seeds."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["models"], row["tool"] != OURS)):
        groups.setdefault((row["tool"], row["models"]), []).append(row)
    return groups


def _table(rows: list[Row]) -> list[str]:
    lines = [
        "| shadow models | tool | attack | AUC | TPR at 1 % FPR | seconds | processor seconds | n, targets |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (tool, models), group in _groups(rows).items():
        told = [row.get("failure") or row.get("not_for") for row in group]
        best = [credited(row) for row in group]
        if any(told) or None in best:
            lines.append(f"| {models} | {tool} | {next(filter(None, told), 'no scores')} | | | | | |")
            continue
        figures = [one[1] for one in best if one is not None]
        name = best[0][0] if best[0] is not None else ""
        area = f"{_mean(figures, 'auc'):.4f} ({_mean(figures, 'low'):.3f} to {_mean(figures, 'high'):.3f})"
        seconds = " | ".join(f"{_mean(group, key):.1f}" for key in ("seconds", "cpu_seconds"))
        size = f"{figures[0]['n']:,}, {len(group)}"
        lines.append(f"| {models} | {tool} | {name} | {area} | {_mean(figures, 'tpr'):.3f} | {seconds} | {size} |")
    return lines


def _reached(rows: list[Row]) -> list[str]:
    """By task: the reference, and the cheapest number of models by which each tool comes within ``NEAR`` of it."""
    tools = sorted(dict.fromkeys(row["tool"] for row in rows), key=lambda tool: tool != OURS)
    lines = [
        f"Seconds (processor seconds) of the cheapest run whose AUC is at most {NEAR} below our LiRA with {MOST} "
        "shadow models, and of how many models it was; in brackets how many times ours.",
        "",
        f"| | LiRA with {MOST} | " + " | ".join(tools) + " |",
        "|---" * (2 + len(tools)) + "|",
    ]
    for task in dict.fromkeys(row["task"] for row in rows):
        groups = _groups([row for row in rows if row["task"] == task])
        full = groups.get((OURS, MOST), [])
        areas = [max(row["attacks"][name]["auc"] for name in REFERENCE if name in row["attacks"]) for row in full]
        if not areas:
            lines.append(f"| {task} | not run with {MOST} |" + " |" * len(tools))
            continue
        cells, base = [], None
        for tool in tools:
            there = {
                models: group
                for (one, models), group in groups.items()
                if one == tool and _power(group) >= fmean(areas) - NEAR
            }
            if not there:
                tried = [models for (one, models), group in groups.items() if one == tool and _power(group) > 0]
                cells.append(f"not reached with {max(tried)}" if tried else "")
                continue
            models = min(there, key=lambda models: _mean(there[models], "seconds"))
            seconds, processor = (_mean(there[models], key) for key in ("seconds", "cpu_seconds"))
            base = seconds if tool == OURS else base
            times = f" [{seconds / base:.1f}]" if base and tool != OURS else ""
            cells.append(f"{seconds:.0f} ({processor:.0f}), {models}{times}")
        lines.append(f"| {task} | {fmean(areas):.4f} | " + " | ".join(cells) + " |")
    return lines


def _power(group: list[Row]) -> float:
    best = [credited(row) for row in group]
    return 0.0 if None in best else fmean(one[1]["auc"] for one in best if one is not None)


def _mean(rows: list[Row], key: str) -> float:
    return fmean(row[key] for row in rows)
