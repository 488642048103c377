"""What an installed memberwise must do, whatever the versions around it: a little of everything, on made-up records.

Without arguments all of it, else the parts that are named.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

import memberwise as mw

RECIPE = {"training.epochs": 3, "model.hidden": [8]}
FEW: dict[str, Any] = {"shadow_models": 2, "seed": 1, "label": "diagnosis", "attacks": ["loss"]}


def table(count: int = 240) -> pd.DataFrame:
    """Numbers, texts and labels."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, count), "job": rng.choice(["nurse", "smith"], count)})
    return frame.assign(diagnosis=np.where(frame["age"] + rng.normal(0, 20, count) > 55, "ill", "well"))


def command(*words: str) -> str:
    """What the command line says."""
    done = subprocess.run([sys.executable, "-m", "memberwise.cli.main", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def network() -> None:
    light = "import sys, memberwise, memberwise.cli.main; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", light], check=True)
    print(command("--version").strip())
    frame = table()
    frame.to_csv("patients.csv", index=False)
    more = FEW | {"shadow_models": 8, "attacks": "default", "out": "runs/network"}
    result = mw.audit(data="patients.csv", settings=RECIPE, **more)
    result.plot.roc()
    assert len(mw.load_target("runs/network").predict(frame.drop(columns="diagnosis"))) == len(frame)
    command("report", "runs/network", "--markdown")


def pipeline() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["job"]), ("passthrough", ["age"]))
    made = make_pipeline(columns, RandomForestClassifier(5, random_state=0))
    mw.audit(model=made, data=table(), **FEW)
    return made


def frontier() -> None:
    sizes = FEW | {"max_accuracy_loss": 0.5, "out": "runs/frontier", "validation": 40}
    mw.defend(data=table(), defences=["rounding"], settings=RECIPE, **sizes)


def boosting() -> None:
    for name in ("xgboost", "lightgbm", "catboost"):
        count = "iterations" if name == "catboost" else "n_estimators"
        mw.audit(model=name, data=table(), settings={"model.options": {count: 3}}, **FEW)


def skops() -> None:
    import skops.io

    saw, frame = np.arange(120), table()
    fitted = pipeline().fit(frame.drop(columns="diagnosis").iloc[saw], frame["diagnosis"].iloc[saw])
    skops.io.dump(fitted, "model.skops")
    mw.audit(target="model.skops", train_rows=saw, data=frame, **FEW)


def onnx() -> None:
    command("export", "runs/network", "--to", "onnx", "--out", "model.onnx")


def opacus() -> None:
    private = {"training.defence": {"name": "dp-sgd", "epsilon": 8.0}}
    mw.audit(data=table(), settings=RECIPE | private, **FEW)


def pyarrow() -> None:
    table().to_parquet("patients.parquet")
    mw.audit(data="patients.parquet", settings=RECIPE, **FEW)


def starlette() -> None:
    import memberwise.gateway

    assert memberwise.gateway is not None


def cryptography() -> None:
    command("evidence", "runs/network", "--sign", "release.key", "--new-key")
    command("evidence", "verify", "runs/network", "--key", "release.key.pub")


# By the module that each needs.
PARTS = {
    "network": (network, "torch"),
    "pipeline": (pipeline, "sklearn"),
    "frontier": (frontier, "torch"),
    "boosting": (boosting, "xgboost"),
    "skops": (skops, "skops"),
    "onnx": (onnx, "onnx"),
    "dp": (opacus, "opacus"),
    "parquet": (pyarrow, "pyarrow"),
    "serve": (starlette, "starlette"),
    "evidence": (cryptography, "cryptography"),
}


def main(*names: str) -> None:
    """Use it."""
    for name in names or PARTS:
        part, module = PARTS[name]
        if find_spec(module) is None:
            print(f"{name}: left out, {module} is not installed")
            continue
        part()
        print(f"{name}: works", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
