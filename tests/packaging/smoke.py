"""What an installed memberwise must do, whatever the versions around it: a little of everything, on made-up records."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import memberwise as mw


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


def main() -> None:
    """Use it."""
    light = "import sys, memberwise, memberwise.cli.main; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", light], check=True)
    print(command("--version").strip())
    command("list", "attacks")
    few: dict[str, Any] = {"shadow_models": 8, "seed": 1, "label": "diagnosis"}
    recipe = {"training.epochs": 3, "model.hidden": [8]}
    frame = table()
    frame.to_csv("patients.csv", index=False)
    result = mw.audit(data="patients.csv", settings=recipe, out="runs/network", **few)
    print("network", result.auc())
    result.plot.roc()
    assert len(mw.load_target("runs/network").predict(frame.drop(columns="diagnosis"))) == len(frame)
    command("report", "runs/network", "--markdown")

    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough")
    pipeline = make_pipeline(columns, RandomForestClassifier(5, random_state=0))
    print("pipeline", mw.audit(model=pipeline, data=frame, **few).auc("loss"))
    defended = mw.defend(
        data="patients.csv", label="diagnosis", validation=40, defences=["l2", "rounding"], shadow_models=2,
        attacks=["loss"], settings=recipe, max_accuracy_loss=0.5, out="runs/frontier",
    )  # fmt: skip
    print("frontier", defended.folder)
    for name in ("xgboost", "lightgbm", "catboost"):
        if find_spec(name):
            settings = {"model.options": {"n_estimators": 3}}
            settings = settings if name != "catboost" else {"model.options": {"iterations": 3}}
            sizes = few | {"shadow_models": 2, "attacks": ["loss"]}
            print(name, mw.audit(model=name, data="patients.csv", settings=settings, **sizes).auc("loss"))
    if find_spec("skops"):
        import skops.io

        saw = np.arange(120)
        fitted = pipeline.fit(frame.drop(columns="diagnosis").iloc[saw], frame["diagnosis"].iloc[saw])
        skops.io.dump(fitted, "model.skops")
        given = mw.audit(target="model.skops", train_rows=saw, data=frame, attacks=["loss"], **few)
        print("skops", given.auc("loss"))
    if find_spec("onnx") and find_spec("onnxruntime"):
        command("export", "runs/network", "--to", "onnx", "--out", "model.onnx")
    if find_spec("opacus"):
        private = {"training.defence": {"name": "dp-sgd", "epsilon": 8.0}}
        print("dp-sgd", mw.audit(data="patients.csv", settings=recipe | private, attacks=["loss"], **few).auc("loss"))
    if find_spec("pyarrow"):
        frame.to_parquet("patients.parquet")
        mw.audit(data="patients.parquet", settings=recipe, attacks=["loss"], **few)
    if find_spec("starlette"):
        Path("policy.toml").write_text("version = 1\n", "utf-8")
        command("keys", "--help")
    if find_spec("cryptography"):
        command("evidence", "runs/network", "--sign", "release.key", "--new-key")
        command("evidence", "verify", "runs/network", "--key", "release.key.pub")


if __name__ == "__main__":
    main()
