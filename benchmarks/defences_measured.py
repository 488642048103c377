"""What each defence does to leakage: `src/memberwise/defences/measured.json`, from which marks and tables are made.

``python benchmarks/defences_measured.py [--data location30] [--defences a,b] [--minutes 7] [--out FOLDER]``: every
defence with its default parameters, audited like a point of a frontier (own shadow models, the family of attacks, the
label-only ones where answers are changed), beside the undefended model on the same records. A folder is continued, so
that it can be done in parts; the file holds what is done, and keeps what other calls measured. ``--kept`` measures
nothing and takes adversarial training from the overview's table, where no call has measured it on that data itself.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from pathlib import Path
from typing import Any

import memberwise
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.defences.output.registry import OUTPUT_DEFENCES
from memberwise.defences.training.registry import TRAINING_DEFENCES, write_out_defence
from memberwise.errors import MemberwiseError
from memberwise.frontier.attackers import BY_LABELS, affordable, label_only_attacks, met_by
from memberwise.frontier.feasible import with_dataset
from memberwise.frontier.measure import measure
from memberwise.frontier.points import UNDEFENDED, Point
from memberwise.frontier.schema import MeasuredPoint
from memberwise.frontier.strength import Met, compared
from memberwise.study.reading import make_study
from memberwise.study.schema import Study

FILE = Path(__file__).parents[1] / "src/memberwise/defences/measured.json"
DOCS = Path(__file__).parents[1] / "docs/defences.md"
MARKERS = ("<!-- measured: written by benchmarks/defences_measured.py -->", "<!-- end of measured -->")
NOT_MEASURED = "Not measured, and so not marked either way:"
FPR = 0.01
# Parameters other than the defaults, where those take too long.
CHEAPER: dict[str, dict[str, Any]] = {"ldl": {"copies": 20}}
# Six shadow models make a weak attacker: these figures compare, they state no protection.
STUDIES: dict[str, dict[str, Any]] = {
    "location30": {
        "data": {"members": 1350, "nonmembers": 1350, "population": 660, "validation": 300, "reference": 1350},
        "model": {"hidden": [256, 128]},
        "training": {"epochs": 30},
        "shadow": {"count": 6},
    },
    "mnist": {
        "data": {"members": 1000, "nonmembers": 1000, "population": 500, "validation": 300, "reference": 1000},
        "training": {"epochs": 20},
        "shadow": {"count": 6},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="location30")
    parser.add_argument("--defences", default="")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--out", default="runs/defences-measured")
    parser.add_argument("--kept", action="store_true")
    arguments = parser.parse_args()
    if arguments.kept:
        kept()
        return
    begun, names = time.monotonic(), [name for name in arguments.defences.split(",") if name]
    sizes = STUDIES[arguments.data]
    study = make_study({**sizes, "data": {"source": arguments.data, **sizes["data"]}, "plan": {"threads": 1}}, "here")
    inputs = with_dataset(study, Inputs())
    study = met_by(study, label_only_attacks(study, inputs))
    folder = Path(arguments.out) / arguments.data
    plain = attacked(Point(UNDEFENDED, {}, "none"), study, inputs, folder)
    for point in points():
        if (names and bare(point) not in names) or time.monotonic() - begun > 60 * arguments.minutes:
            continue
        try:
            row = attacked(point, study, inputs, folder)
        except MemberwiseError as error:
            print(f"{point.label}: left out, {error}", flush=True)
            continue
        keep(measurement(point, study, arguments.data, row, plain))


def points() -> list[Point]:
    """Every defence once, with its default parameters; output defences that share a name are ``answer:NAME``."""
    return [
        *(Point(name) for name in TRAINING_DEFENCES),
        *(Point(name, CHEAPER.get(name, {}), "answer") for name in OUTPUT_DEFENCES),
    ]


def bare(point: Point) -> str:
    """The defence's name, as ``memberwise defend`` takes it."""
    return Point(point.name, {}, point.place).label


def attacked(point: Point, study: Study, inputs: Inputs, folder: Path) -> tuple[MeasuredPoint, Met]:
    """Label-only attacks meet the undefended model and what changes answers: where they could be the strongest."""
    audit = affordable(point.study(study, str(folder / point.folder)))
    if point.place != "none" and not write_out_defence(audit).answer:
        use = tuple(name for name in audit.attacks.use if name not in BY_LABELS)
        audit = audit.model_copy(update={"attacks": audit.attacks.model_copy(update={"use": use})})
    return measure(point, audit_or_reuse(audit, inputs), study, FPR)


def _accuracy(figures: MeasuredPoint) -> float:
    if figures.test_accuracy is None:
        raise ValueError("the data have records on which the test accuracy is measured")
    return round(figures.test_accuracy.value, 4)


def measurement(
    point: Point, study: Study, data: str, row: tuple[MeasuredPoint, Met], plain: tuple[MeasuredPoint, Met]
) -> dict[str, Any]:
    """One line of the file: the strongest attack's AUC, the undefended model's, and their difference."""
    figures, without = row[0], plain[0]

    def rounded(part: object, *names: str) -> dict[str, Any]:
        interval = {name: round(getattr(part, name), 4) for name in ("value", "low", "high")}
        return interval | {name: getattr(part, name) for name in names}

    return {
        "defence": bare(point),
        "options": point.options,
        "data": data,
        "members": figures.auc.n_members,
        "nonmembers": figures.auc.n_nonmembers,
        "shadow_models": study.shadow.count,
        "epochs": study.training.epochs,
        "seed": study.run.seed,
        "test_accuracy": _accuracy(figures),
        "undefended_test_accuracy": _accuracy(without),
        "auc": rounded(figures.auc, "name"),
        "undefended_auc": rounded(without.auc, "name"),
        "difference": rounded(compared(row[1], plain[1], "auc"), "finding"),
        "attacks": {one.name: round(one.auc.value, 3) for one in figures.attacks if one.auc is not None},
        "memberwise": memberwise.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def kept() -> None:
    """Adversarial training (FGSM) as docs/reproductions has it: LiRA alone, and both models' intervals subtracted,
    which is wider than a difference over the same records need be."""
    claim = json.loads((DOCS.parent / "reproductions/overview-mitigations-quick.json").read_text())
    rows = {(row["setting"], row["measure"]): row["ours"] for row in claim["findings"]["rows"]}
    lines = json.loads(FILE.read_text())["measurements"]
    for data, eps in (("location30", 0.05), ("mnist", 0.1)):
        (mine, accuracy), (plain, plain_accuracy) = (
            [rows[f"{data}, {setting}", measure] for measure in ("AUC, LiRA", "test accuracy")]
            for setting in ("adversarial training", "undefended")
        )
        if any((one["defence"], one["data"]) == ("adversarial-training", data) for one in lines):
            continue
        low, high = mine["low"] - plain["high"], mine["high"] - plain["low"]
        finding = "lower" if high < 0 else "higher" if low > 0 else "not told apart"
        apart = {"value": mine["value"] - plain["value"], "low": low, "high": high}
        name = "lira-online-fixed"
        keep(
            {
                "defence": "adversarial-training",
                "options": {"method": "fgsm", "eps": eps},
                "data": data,
                "members": mine["n"] // 2,
                "nonmembers": mine["n"] // 2,
                "shadow_models": 8,
                "epochs": 20,
                "seed": claim["seed"],
                "test_accuracy": round(accuracy["value"], 4),
                "undefended_test_accuracy": round(plain_accuracy["value"], 4),
                "auc": {key: round(mine[key], 4) for key in ("value", "low", "high")} | {"name": name},
                "undefended_auc": {key: round(plain[key], 4) for key in ("value", "low", "high")} | {"name": name},
                "difference": {key: round(value, 4) for key, value in apart.items()} | {"finding": finding},
                "attacks": {name: round(mine["value"], 3)},
                "memberwise": claim["versions"]["memberwise"],
                "date": claim["date"],
            }
        )


def keep(line: dict[str, Any]) -> None:
    """Put the line into the file in place of an older one of the same defence and data."""
    lines = json.loads(FILE.read_text())["measurements"] if FILE.exists() else []
    lines = [one for one in lines if (one["defence"], one["data"]) != (line["defence"], line["data"])] + [line]
    names = [bare(point) for point in points()]
    lines.sort(key=lambda one: (one["data"], names.index(one["defence"])))
    write_docs(lines)
    body = ",\n".join(json.dumps(one) for one in lines)
    FILE.write_text(f'{{"schema_version": 1, "confidence": 0.95, "measurements": [\n{body}\n]}}\n')
    print(f"{line['defence']}: AUC {line['auc']['value']}, {line['difference']}", flush=True)


def write_docs(lines: list[dict[str, Any]]) -> None:
    """The table of docs/defences.md anew."""
    rows = [
        "| defence | data | test accuracy, undefended | AUC, undefended | difference | |",
        "|---|---|---|---|---|---|",
    ]
    for one in lines:
        mine, plain, apart = one["auc"], one["undefended_auc"], one["difference"]
        finding = "**raised**" if apart["finding"] == "higher" else apart["finding"]
        rows.append(
            f"| `{one['defence']}` | {one['data']} "
            f"| {one['test_accuracy']:.3f}, {one['undefended_test_accuracy']:.3f} | "
            f"{mine['value']:.3f} ({mine['name']}), {plain['value']:.3f} ({plain['name']}) | "
            f"{apart['value']:+.3f} [{apart['low']:+.3f}, {apart['high']:+.3f}] | {finding} |"
        )
    measured = {one["defence"] for one in lines}
    missing = [f"`{bare(point)}`" for point in points() if bare(point) not in measured]
    if missing:
        rows += ["", f"{NOT_MEASURED} {', '.join(missing)}."]
    before, rest = DOCS.read_text().split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    DOCS.write_text(before + "\n".join([MARKERS[0], "", *rows, "", MARKERS[1]]) + after)


if __name__ == "__main__":
    main()
