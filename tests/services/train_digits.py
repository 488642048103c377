"""A classifier of digits, its test records and its answers about them; run in the environment that serves it."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

kind, folder = sys.argv[1], Path(sys.argv[2])
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)
model = LogisticRegression(max_iter=200).fit(x[:1000], y[:1000])
records = x[1000:1100]
probabilities = model.predict_proba(records)
np.save(folder / "records.npy", records)
np.save(folder / "probabilities.npy", probabilities.astype(np.float64))
if kind == "joblib":
    joblib.dump(model, folder / "model.joblib")
else:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    mlflow.sklearn.save_model(
        model,
        folder / "model",
        signature=infer_signature(records, probabilities),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
    )
