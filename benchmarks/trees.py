"""Trees as shadow models: ours beside a plain joblib loop over clones, and what sharing their binning could win.

``python benchmarks/trees.py [--models 64] [--turns 3] [--kinds ...] [--out FILE]``: the training part of Adult, each
model a half. ``threads`` is our engine as an audit runs it, ``processes`` the same engine with worker processes,
``loop`` is ``Parallel(delayed(fit_and_ask)(clone(estimator), ...))``, of the same rows and seeds, asked about the same
records. They take turns as processes of their own; a ratio is of one turn, the whole process and its processor time.
Models of one seed are compared answer for answer. ``--shares`` tells how much of a fit is making bins of the records,
and how far a model on bins of all rows is from one on bins of its own. Stored in benchmarks/results/trees.json;
``--tiny`` shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from audits import timed
from numpy.typing import NDArray

HERE, SEED = Path(__file__).parent, 1
# A half of the training part of Adult, 32,561 rows.
ROWS = 16_280
KINDS = ("random-forest", "hist-gradient-boosting", "lightgbm", "xgboost")
CONTESTANTS = ("threads", "processes", "loop")
Floats = NDArray[np.float64]


def prepared(kind: str, models: int, records: int | None) -> Any:
    """An audit of so many shadow models, as far as its first block."""
    from memberwise.auditing.prepare import Inputs, prepare
    from memberwise.auditing.resolve import resolve
    from memberwise.study.schema import Study

    half = records or ROWS
    data = {"source": "adult", "members": half, "nonmembers": half, "population": 0}
    study = {"data": data, "model": {"name": kind}, "shadow": {"count": models}, "run": {"seed": SEED}}
    return prepare(resolve(Study.model_validate(study | {"attacks": {"use": ["lira-online"]}})), Inputs())


def ours(kind: str, models: int, records: int | None, processes: bool) -> dict[str, Any]:
    """Every block of the engine, as an audit has it carried out."""
    from memberwise.signals.collection import SignalCollection
    from memberwise.training.trainers import processes as trainers

    audit = prepared(kind, models, records)
    jobs = [audit.shadow_job(k) for k in range(models)]
    collect = SignalCollection(audit.shadow_questions)
    block = audit.trainer.describe().block
    with patch.object(trainers, "TREES", {} if processes else trainers.TREES):
        parts = []
        for first in range(0, models, block):
            part = jobs[first : first + block]
            numbers = {job.seed: first + k for k, job in enumerate(part)}
            parts.append(audit.trainer.run(part, partial(collect, numbers=numbers, vectors=False)))
    log_p = np.concatenate([part["audited.log_p"] for part in parts])[..., 0]
    return {"p": np.exp(log_p), "test_accuracy": np.concatenate([part["test_accuracy"] for part in parts])}


def fit_and_ask(estimator: Any, x: Any, y: Any, rows: Any, audited: Any, test: Any) -> tuple[Floats, float]:
    """Of the plain loop: p of the true class of each audited record, and accuracy on the test part."""
    fitted = estimator.fit(x[rows], y[rows])
    p = fitted.predict_proba(x[audited])[np.arange(len(audited)), y[audited]]
    return p, float((fitted.predict(x[test]) == y[test]).mean())


def loop(kind: str, models: int, records: int | None) -> dict[str, Any]:
    from joblib import Parallel, delayed
    from sklearn.base import clone

    from memberwise.models.threads import cores

    audit = prepared(kind, models, records)  # its time is in that of ours, too
    x, y = audit.trainer.records.x.reshape(len(audit.dataset.y), -1), audit.dataset.y
    estimator, asked = audit.trainer.model.make(), audit.shadow_questions
    work = []
    for k in range(models):
        job = audit.shadow_job(k)
        made = clone(estimator).set_params(random_state=job.seed % 2**32)
        work.append(delayed(fit_and_ask)(made, x, y, job.rows, asked.audited, asked.test))
    found = Parallel(n_jobs=cores())(work)
    return {"p": np.stack([p for p, _ in found]), "test_accuracy": np.array([accuracy for _, accuracy in found])}


def measure(kind: str, models: int, records: int | None, turns: int) -> dict[str, Any]:
    rows, answers = [], {}
    for turn in range(turns):
        row: dict[str, Any] = {"turn": turn}
        for contestant in CONTESTANTS if turn % 2 == 0 else CONTESTANTS[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "answers.npz"
                command = [sys.executable, __file__, "--contestant", contestant, kind, str(models), str(records or 0)]
                spent, _ = timed([*command, str(out)])
                with np.load(out) as arrays:
                    answers[contestant] = dict(arrays)
            accuracy = float(answers[contestant]["test_accuracy"].mean())
            row[contestant] = spent | {
                "training_and_asking": float(answers[contestant]["seconds"]),
                "accuracy": accuracy,
            }
        rows.append(row)
    far = {
        name: float(np.abs(answers[name]["p"] - answers["loop"]["p"].astype(np.float32)).max())
        for name in CONTESTANTS[:2]
    }
    ratios = {}
    for name in CONTESTANTS[:2]:
        for what in ("seconds", "processor_seconds"):
            each = [row["loop"][what] / row[name][what] for row in rows]
            middle = float(np.median(each))
            ratios[f"{name}, {what}"] = {"median": middle, "low": min(each), "high": max(each), "n": turns}
            print(f"{kind}: {name} {middle:.2f} ({min(each):.2f} to {max(each):.2f}) times the loop by {what}")
    print(f"{kind}: largest difference of an answer to the loop's: {far}", flush=True)
    return {"models": models, "records": records or ROWS, "ratios": ratios, "largest_difference": far, "turns": rows}


def shares(kind: str, records: int | None) -> dict[str, float]:
    """Processor seconds of a fit, and of what could be done once for all models of the kind; answers on shared bins."""
    audit = prepared(kind, 2, records)
    x, y = audit.trainer.records.x.reshape(len(audit.dataset.y), -1), audit.dataset.y
    rows, estimator = audit.shadow_job(0).rows, audit.trainer.model.make().set_params(random_state=0)

    def clock(work: Any) -> tuple[float, Any]:
        begun = time.process_time()
        done = work()
        return time.process_time() - begun, done

    fit, fitted = clock(lambda: estimator.fit(x[rows], y[rows]))
    asking, answers = clock(lambda: fitted.predict_proba(x))
    found = {"fit": fit, "asking": asking}
    if kind == "random-forest":
        found["conversion"] = clock(lambda: np.ascontiguousarray(x[rows], np.float32))[0]
    if kind == "hist-gradient-boosting":
        from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

        mapper = _BinMapper(n_bins=256, random_state=0)
        found["bins"] = clock(lambda: mapper.fit_transform(x[rows].astype(np.float64)))[0]
        binned = _BinMapper(n_bins=256, random_state=0).fit(x.astype(np.float64)).transform(x.astype(np.float64))
        other = audit.trainer.model.make().set_params(random_state=0).fit(binned[rows].astype(np.float64), y[rows])
        apart = np.abs(other.predict_proba(binned.astype(np.float64)) - answers)
        found |= {"shared_bins_differ_at_most": float(apart.max()), "on_average": float(apart.mean())}
    if kind == "lightgbm":
        import lightgbm

        quiet = {"verbosity": -1, "num_threads": 1}
        found["bins"] = clock(lambda: lightgbm.Dataset(x[rows], y[rows], params=quiet).construct())[0]
        whole = lightgbm.Dataset(x, y, params=quiet, free_raw_data=False).construct()
        parameters = quiet | {"objective": "binary", "learning_rate": 0.1, "num_leaves": 31, "seed": 0}
        trained = [
            lightgbm.train(parameters, part, 100)
            for part in (whole.subset(sorted(rows)), lightgbm.Dataset(x[np.sort(rows)], y[np.sort(rows)], params=quiet))
        ]
        apart = np.abs(np.subtract(*[np.asarray(one.predict(x)) for one in trained]))
        found |= {"shared_bins_differ_at_most": float(apart.max()), "on_average": float(apart.mean())}
    if kind == "xgboost":
        import xgboost

        found["bins"] = clock(lambda: xgboost.QuantileDMatrix(x[rows], y[rows], nthread=1))[0]
    return {name: round(value, 5) for name, value in found.items()}


def contestant(name: str, kind: str, models: int, records: int | None, out: Path) -> None:
    begun = time.perf_counter()
    found = loop(kind, models, records) if name == "loop" else ours(kind, models, records, name == "processes")
    np.savez(out, **found, seconds=np.array(time.perf_counter() - begun))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--records", type=int, help="on either side; all of the training part by default")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shares", action="store_true", help="what sharing could win alone")
    parser.add_argument("--tiny", action="store_true", help="shows that it runs")
    parser.add_argument("--note", help="said with the figures")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trees.json")
    parser.add_argument("--contestant", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.contestant:
        name, kind, models, records, out = asked.contestant
        contestant(name, kind, int(models), int(records) or None, Path(out))
        return
    from machine import Watch, machine, versions

    if asked.tiny:
        asked.models, asked.records, asked.turns = 4, 300, 1
        if asked.out == parser.get_default("out"):
            asked.out = Path(tempfile.gettempdir()) / "trees-tiny.json"  # no figures to keep
    known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    for kind in asked.kinds.split(","):
        watch = Watch()
        told = known.setdefault(kind, {})
        told["shares"] = shares(kind, asked.records)
        print(f"{kind}: processor seconds {told['shares']}", flush=True)
        if not asked.shares:
            told |= measure(kind, asked.models, asked.records, asked.turns)
        where = {"machine": machine(), "versions": versions(), "threads": os.environ.get("OMP_NUM_THREADS")}
        when = {"date": datetime.now(UTC).date().isoformat(), "others_share": watch.others_share()}
        known[kind] = told | where | when | ({"note": asked.note} if asked.note else {})
        asked.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
