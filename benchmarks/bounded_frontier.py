"""What is bounded beside what is measured: defences at equal numbers of records, accuracy against game (ii).

``python benchmarks/bounded_frontier.py [--data location30|mnist|adult|cifar10] [--minutes 20] [--out FOLDER]
[--full] [--background N] [--teachers N] [--only DEFENCE ...]``: ``pac`` over shares, ``pate`` over epsilons, and the
undefended model, label-only answers, HAMP, MemGuard, DP-SGD, SELENA and DMP, each audited like a point of a frontier,
with shadow models (or ensembles) that went through the same defence. Label-only attacks on altered records meet every
point: augmented copies, and copies that hardly differ; with ``--full`` noised ones as well. A folder is continued, so
that it can be done in parts. Without ``--full`` sizes are small: they show the order of things, not figures of a
deployment. Answers a second are of processor time, one thread, in memory, so that a busy machine moves them little.
``--background 55000 --teachers 250``: what ``pate`` does with many more records, beside others that have them too.
Results: ``results/bounded-DATA.json`` (DATA-N with so many further records), and a table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.data import Dataset
from memberwise.defences.released import load_target
from memberwise.errors import MemberwiseError
from memberwise.frontier.feasible import with_dataset
from memberwise.frontier.measure import measure
from memberwise.frontier.points import UNDEFENDED, Point
from memberwise.frontier.schema import MeasuredPoint
from memberwise.frontier.words import bounded_words
from memberwise.statistics import auc
from memberwise.statistics.paired import auc_difference, ranked_both
from memberwise.study.reading import make_study
from memberwise.study.schema import Study

RESULTS = Path(__file__).parent / "results"
ATTACKS = ["gap", "loss", "lira-online-fixed", "label-only-augment", "label-only-near"]
BY_LABELS = [name for name in ATTACKS if name.startswith(("gap", "label-only"))]
# Records that are asked about to tell how fast answers are, for so many seconds at most.
TIMED, SECONDS = 300, 1.0
SMALL: dict[str, Any] = {
    "data": {"members": 250, "nonmembers": 250, "validation": 100, "reference": 300, "background": 750},
    "model": {"hidden": [64]},
    "training": {"epochs": 20},
    "shadow": {"count": 4},
}
FULL: dict[str, Any] = {
    "data": {"members": 1000, "nonmembers": 1000, "validation": 200, "reference": 600, "background": 1000},
    "model": {"hidden": [256, 128]},
    "training": {"epochs": 30},
    "shadow": {"count": 16},
}
CNN = {"name": "memberwise.models.cnn:small_cnn"}


def points(worlds: int, questions: int, teachers: int) -> list[Point]:
    """The defences, those with a bound over what they trade; first what decides, should time end."""
    high, half, middle = ({"worlds": worlds, "share": f"{k - 1}/{k}"} for k in (worlds, 2, 4))
    return [
        Point(UNDEFENDED, {}, "none"),
        Point("pac", high, "training"),
        Point("dmp", {}, "training"),
        Point("pate", {"teachers": teachers, "epsilon": 1e3, "questions": questions}, "training"),
        Point("label-only", {}, "answer"),
        Point("pac", half, "training"),
        Point("hamp", {}, "training"),
        Point("selena", {"models": 8, "left_out": 3}, "training"),
        Point("pate", {"teachers": teachers, "epsilon": 64.0, "questions": questions}, "training"),
        Point("memguard", {}, "answer"),
        Point("dp-sgd", {"epsilon": 8.0}, "training"),
        Point("pac", middle, "training"),
        Point("dp-sgd", {"epsilon": 64.0}, "training"),
    ]


def study_of(data: str, full: bool, background: int | None) -> Study:
    """The undefended audit, of which each point is a variant."""
    sizes = FULL if full else SMALL
    records = sizes["data"] if background is None else sizes["data"] | {"background": background}
    model = CNN if data == "cifar10" else sizes["model"]
    use = [*ATTACKS, *(["label-only-noise"] if full else [])]
    values = {**sizes, "data": {"source": data, **records}, "model": model, "attacks": {"use": use}}
    return make_study({**values, "plan": {"threads": 1}}, "here")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="location30")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--out", default="runs/bounded-frontier")
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--background", type=int, help="records of the pool that nobody attacks")
    parser.add_argument("--teachers", type=int, default=10)
    parser.add_argument("--only", nargs="+", help="defences")
    arguments = parser.parse_args()
    begun, study = time.monotonic(), study_of(arguments.data, arguments.full, arguments.background)
    name = arguments.data if arguments.background is None else f"{arguments.data}-{arguments.background}"
    inputs, rows, scores = with_dataset(study, Inputs()), [], dict[str, pd.DataFrame]()
    own_test = () if inputs.dataset is None or inputs.dataset.test is None else inputs.dataset.test
    for point in points(arguments.worlds, 5_000 + len(own_test), arguments.teachers):
        if arguments.only and point.name not in arguments.only:
            continue
        if time.monotonic() - begun > 60 * arguments.minutes:
            print(f"{point.label}: no time left", flush=True)
            continue
        folder = Path(arguments.out) / name / point.folder
        try:
            audit = audit_or_reuse(point.study(study, str(folder)), inputs)
            row, _ = measure(point, audit, study, 0.1)
            speed = answers_a_second(folder, inputs.dataset)
        except MemberwiseError as error:
            print(f"{point.label}: left out, {error}", flush=True)
            continue
        rows.append(line(row, study) | {"answers_a_second": speed})
        scores[point.label] = audit.scores
        print(shown(row), f"{speed:,.0f} answers a second", flush=True)
        apart = differences(scores)
        written = {"study": study.to_dict(), "worlds": arguments.worlds, "points": rows, "pac_less_others": apart}
        (RESULTS / f"bounded-{name}.json").write_text(json.dumps(written, indent=1) + "\n")


def differences(scores: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The AUC of the strongest attack on ``pac`` at its largest share less that on each other point, on the same
    records: by all attacks, and by those which see labels alone."""
    first = next((label for label in scores if label.startswith("pac ")), None)
    found: dict[str, Any] = {}
    for label in [label for label in scores if first and label != first]:
        own, other = scores[str(first)], scores[label]
        member = own["member"].to_numpy() == 1
        for kind, names in (("all", ATTACKS), ("labels", BY_LABELS)):
            first_best, second_best = (
                max((frame[name].to_numpy() for name in names if name in frame), key=lambda s: auc(s, member).value)
                for frame in (own, other)
            )
            part = auc_difference(*ranked_both(first_best, second_best, member))
            found.setdefault(label, {})[kind] = [round(x, 4) for x in (part.value, part.low or 0, part.high or 0)]
    return found


def answers_a_second(folder: Path, dataset: Dataset | None) -> float:
    """Answers to records asked one by one, by the processor's time."""
    assert dataset is not None
    rows = np.arange(len(dataset.y) - TIMED, len(dataset.y))
    records = dataset.x[rows] if dataset.frame is None else dataset.frame.iloc[rows]
    released, done = load_target(folder), 1
    released.predict(records[:done])
    begun = now = time.process_time()
    while done < TIMED and now - begun < SECONDS:
        released.predict(records[done : done + 1])
        done, now = done + 1, time.process_time()
    return round((done - 1) / (now - begun), 1)


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
