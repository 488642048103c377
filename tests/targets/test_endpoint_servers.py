"""MLServer and MLflow's model server, audited over HTTP alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import memberwise as mw

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.model_servers import ModelServer

# As the servers' model was trained.
SEEN = 1000
DATA = load_digits()
X, Y = (DATA.data / 16).astype(np.float32), DATA.target.astype(np.int64)
ROLES: dict[str, Any] = {
    "data": (X, Y),
    "train_rows": np.arange(SEEN),
    "members": np.arange(300),
    "nonmembers": np.arange(SEEN, SEEN + 300),
    "model": LogisticRegression(max_iter=200),
    "shadow_models": 4,
    "attacks": ["loss", "lira-offline"],
}
SETTINGS = {"shadow.allow_size_mismatch": True}

pytestmark = [pytest.mark.slow, pytest.mark.services]


def audit_of(server: ModelServer, out: Path, settings: dict[str, Any] | None = None, **more: Any) -> mw.Result:
    return mw.audit(endpoint=server.url, out=out, settings=SETTINGS | (settings or {}), **ROLES | more)


def the_same_model(server: ModelServer) -> LogisticRegression:
    fitted = LogisticRegression(max_iter=200).fit(X[:SEEN], Y[:SEEN])
    np.testing.assert_allclose(fitted.predict_proba(server.records), server.probabilities, atol=1e-4)
    return fitted


def agrees(served: mw.Result, given: mw.Result) -> None:
    for name in ("loss", "lira-offline"):
        assert np.corrcoef(served.scores[name], given.scores[name])[0, 1] > 0.9999
    assert served.to_dict()["target"]["train_accuracy"] == given.to_dict()["target"]["train_accuracy"]


def test_mlserver_is_audited_over_http(mlserver: ModelServer, tmp_path: Path) -> None:
    keys = {"target.model": mlserver.model, "target.output": "predict_proba"}
    served = audit_of(mlserver, tmp_path / "run", keys, protocol="v2")
    facts = served.to_dict()["target"]["endpoint"]
    assert facts["answers"] == "probabilities"
    assert facts["changed_at_once"] == facts["changed_meanwhile"] == 0
    agrees(served, mw.audit(target=the_same_model(mlserver), settings=SETTINGS, **ROLES))


def test_mlserver_answers_labels_where_no_output_is_named(mlserver: ModelServer, tmp_path: Path) -> None:
    served = audit_of(mlserver, tmp_path / "run", protocol="v2", attacks=["gap"])  # the model's name from its list
    facts = served.to_dict()["target"]["endpoint"]
    assert facts["answers"] == "labels"
    assert facts["model"] == mlserver.model
    fitted = the_same_model(mlserver)
    right = np.concatenate([fitted.predict(X[rows]) == Y[rows] for rows in (ROLES["members"], ROLES["nonmembers"])])
    assert np.corrcoef(served.scores["gap"], right)[0, 1] == pytest.approx(1)


def test_mlflow_is_audited_over_http(mlflow_server: ModelServer, tmp_path: Path) -> None:
    served = audit_of(mlflow_server, tmp_path / "run", protocol="mlflow")
    assert served.to_dict()["target"]["endpoint"]["answers"] == "probabilities"
    agrees(served, mw.audit(target=the_same_model(mlflow_server), settings=SETTINGS, **ROLES))


def test_records_of_another_width_are_told(mlflow_server: ModelServer, tmp_path: Path) -> None:
    with pytest.raises(mw.TargetError, match="does not take the question"):
        audit_of(mlflow_server, tmp_path / "run", protocol="mlflow", data=(X[:, :60], Y))
