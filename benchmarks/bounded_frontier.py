"""What is bounded beside what is measured: defences at equal numbers of records, accuracy against game (ii).

``python benchmarks/bounded_frontier.py [--data location30] [--minutes 20] [--out FOLDER] [--full]``: ``pac`` over
shares, ``pate`` over epsilons, and the undefended model, label-only answers, HAMP, MemGuard, DP-SGD, SELENA and DMP,
each audited like a point of a frontier, with shadow models that went through the same defence. A folder is continued,
so that it can be done in parts. Without ``--full`` the sizes are small, and no attack asks about altered records (each
is another question of the mechanism): they show the order of things, not figures of a deployment. Results:
``results/bounded-DATA.json`` and, on the screen, a table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.errors import MemberwiseError
from memberwise.frontier.feasible import with_dataset
from memberwise.frontier.measure import measure
from memberwise.frontier.points import UNDEFENDED, Point
from memberwise.frontier.schema import MeasuredPoint
from memberwise.frontier.words import bounded_words
from memberwise.study.reading import make_study
from memberwise.study.schema import Study

RESULTS = Path(__file__).parent / "results"
ATTACKS = ["gap", "loss", "lira-online-fixed"]
SMALL: dict[str, Any] = {
    "data": {"members": 600, "nonmembers": 600, "validation": 200, "reference": 600},
    "model": {"hidden": [64]},
    "training": {"epochs": 20},
    "shadow": {"count": 4},
}
FULL: dict[str, Any] = {
    "data": {"members": 1200, "nonmembers": 1200, "validation": 300, "reference": 1200},
    "model": {"hidden": [256, 128]},
    "training": {"epochs": 30},
    "shadow": {"count": 16},
}


def points(worlds: int, questions: int) -> list[Point]:
    """The defences, those with a bound over what they trade."""
    shares = [f"{k - 1}/{k}" for k in (2, 4, 8, worlds)]
    return [
        Point(UNDEFENDED, {}, "none"),
        *(Point("pac", {"worlds": worlds, "share": share, "answers": "one-hot"}, "training") for share in shares),
        *(Point("pate", {"teachers": 10, "epsilon": eps, "questions": questions}, "training") for eps in (1e5, 64.0)),
        Point("label-only", {}, "answer"),
        Point("hamp", {}, "training"),
        Point("memguard", {}, "answer"),
        *(Point("dp-sgd", {"epsilon": epsilon}, "training") for epsilon in (64.0, 8.0)),
        Point("selena", {"models": 10, "left_out": 4}, "training"),
        Point("dmp", {}, "training"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="location30")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--out", default="runs/bounded-frontier")
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    begun, sizes = time.monotonic(), FULL if arguments.full else SMALL
    data = {"source": arguments.data, **sizes["data"]}
    attacks = {"use": [*ATTACKS, *(["label-only-noise"] if arguments.full else [])]}
    study = make_study({**sizes, "data": data, "plan": {"threads": 1}, "attacks": attacks}, "here")
    inputs, rows = with_dataset(study, Inputs()), []
    questions = 40 * study.data.members if isinstance(study.data.members, int) else 100_000
    for point in points(arguments.worlds, questions):
        if time.monotonic() - begun > 60 * arguments.minutes:
            print(f"{point.label}: no time left", flush=True)
            continue
        audit = point.study(study, str(Path(arguments.out) / arguments.data / point.folder))
        try:
            row, _ = measure(point, audit_or_reuse(audit, inputs), study, 0.1)
        except MemberwiseError as error:
            print(f"{point.label}: left out, {error}", flush=True)
            continue
        rows.append(line(row, study))
        print(shown(row), flush=True)
    file = RESULTS / f"bounded-{arguments.data}.json"
    file.write_text(json.dumps({"sizes": sizes, "worlds": arguments.worlds, "points": rows}, indent=1) + "\n")


def line(row: MeasuredPoint, study: Study) -> dict[str, Any]:
    """One point, as the file has it."""
    bound = row.bound

    def rounded(part: Any) -> dict[str, float | None] | None:
        return part and {name: round(getattr(part, name), 4) for name in ("value", "low", "high")}

    return {
        "point": row.label,
        "test_accuracy": rounded(row.test_accuracy),
        "bounded": bounded_words(row),
        "says": bound.sentences if bound else "Nothing is bounded.",
        "game_one": [rounded(one.accuracy) for one in bound.measured.game_one] if bound else [],
        "game_two": {"attack": row.auc.name, "auc": rounded(row.auc), "gap": rounded(row.gap)},
        "attacks": {one.name: rounded(one.auc) for one in row.attacks},
        "seconds": row.seconds,
        "seed": study.run.seed,
    }


def shown(row: MeasuredPoint) -> str:
    """One point, for the screen."""
    accuracy, gap = row.test_accuracy, row.gap
    return (
        f"{row.label:36} accuracy {accuracy.value if accuracy else 0:.3f}; game ii: AUC {row.auc.value:.3f} "
        f"({row.auc.low:.3f} to {row.auc.high:.3f}, {row.auc.name}), gap {gap.value if gap else 0:.3f}; "
        f"{bounded_words(row)}"
    )


if __name__ == "__main__":
    main()
