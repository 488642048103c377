"""Whole audits over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoints import audited, budget_of, codes, data, probabilities, serving
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.defences.output.rounding import Rounding
from memberwise.errors import StudyError
from memberwise.study.reading import make_study
from memberwise.targets.asking import BudgetSpent
from memberwise.targets.functions import FunctionTarget

X, Y = data()
PROBES = 8
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("protocol", ["v2", "v1", "mlflow"])
def test_an_audit_over_http_equals_that_of_the_object(protocol: str) -> None:
    few = ["loss", "lira-online-fixed"]
    more: dict[str, Any] = {"attacks": ["default", "label-only-noise"] if protocol == "v2" else few}
    with serving() as server:
        served = mw.audit(endpoint=server.url, protocol=protocol, **audited(X, Y, **more))
    given = mw.audit(target=probabilities, **audited(X, Y, **more, settings={"target.model": None}))
    assert served.scores.equals(given.scores)
    for figure in ("train_accuracy", "test_accuracy", "train_loss", "test_loss"):
        assert served.to_dict()["target"][figure] == given.to_dict()["target"][figure]
    facts = served.to_dict()["target"]["endpoint"]
    assert served.to_dict()["target"]["kind"] == "endpoint"
    assert facts["answers"] == "probabilities"
    assert facts["questions"] == facts["answered"] == server.received
    assert facts["changed_at_once"] == facts["changed_meanwhile"] == 0


def test_records_are_asked_once_but_for_the_probes(tmp_path: Path) -> None:
    with serving() as server:
        mw.audit(endpoint=server.url, **audited(X, Y), out=tmp_path / "run")
        assert sorted(server.seen.values())[-PROBES:] == [3] * PROBES
        assert set(sorted(server.seen.values())[:-PROBES]) == {1}
        asked = server.received
        again = mw.audit(endpoint=server.url, **audited(X, Y), out=tmp_path / "run")
        more = mw.audit(endpoint=server.url, **audited(X, Y, shadow_models=8), out=tmp_path / "run")
        assert server.received == asked
        assert again.to_dict()["target"]["endpoint"]["questions"] == asked
        assert more.to_dict()["shadow"]["count"] == 8


def flags(url: str, out: Path, folder: Path, *more: str) -> list[str]:
    """Of ``memberwise``."""
    np.savez(folder / "data.npz", x=X, y=Y)
    for name, rows in (("rows", range(100)), ("out", range(100, 200))):
        (folder / f"{name}.txt").write_text("\n".join(map(str, rows)))
    return [
        *("audit", "--data", str(folder / "data.npz")),
        *("--train-rows", str(folder / "rows.txt"), "--members", str(folder / "rows.txt")),
        *("--nonmembers", str(folder / "out.txt"), "--endpoint", url, "--set", "target.model=clf"),
        *("--shadow-models", "4", "--set", "training.epochs=2", "--set", "model.hidden=[8]", "--quiet"),
        *("--set", "plan.stack=4", "--set", "plan.threads=1", "--allow-size-mismatch", "--out", str(out), *more),
    ]


def test_killed_half_way_and_resumed_each_is_counted_once(tmp_path: Path) -> None:
    with serving(delay=0.05) as server:
        line = [sys.executable, "-m", "memberwise.cli.main"]
        line += flags(server.url, tmp_path / "run", tmp_path, "--set", "target.batch=8", "--attacks", "loss")
        line += ["--set", "target.concurrency=1"]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while len(server.seen) < 140 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        server.delay = 0.0
        done = CliRunner().invoke(app, line[3:])
        assert done.exit_code == 0, done.stderr
        counts = sorted(server.seen.values())
        # Answers that were on their way to the killed process never came: one request of 8.
        assert len(counts) == len(np.unique(X, axis=0))
        assert sum(counts) <= len(counts) + 2 * PROBES + 8
    whole = mw.audit(target=probabilities, **audited(X, Y, attacks=["loss"], settings={"target.model": None}))
    assert_array_equal(mw.Result.load(tmp_path / "run").scores["loss"], whole.scores["loss"])
    facts = json.loads((tmp_path / "run" / "result.json").read_text())["target"]["endpoint"]
    assert facts["from_store"] > 0
    assert facts["questions"] >= facts["answered"]


def test_a_budget_skips_what_does_not_fit_and_says_so(tmp_path: Path) -> None:
    names = ["loss", "label-only-noise", "label-only-boundary"]
    fits = audited(X, Y, attacks=names, settings={"attacks.boundary_queries": 100, "attacks.boundary_records": 10})
    with serving() as server:
        result = mw.audit(endpoint=server.url, max_queries=1600, **fits, out=tmp_path / "run")
        assert server.received <= 1600
        [skipped] = result.to_dict()["skipped"]
        assert skipped["name"] == "label-only-noise"
        assert "20,000 further questions, and --max-queries 1,600 leaves" in skipped["reason"]
        more = mw.audit(endpoint=server.url, max_queries=22_000, **fits, out=tmp_path / "run")
        assert more.to_dict()["skipped"] == []
        assert server.received <= 22_000
        assert {attack["name"] for attack in more.to_dict()["attacks"]} == set(names)


def test_a_budget_below_the_records_is_refused_before_asking(tmp_path: Path) -> None:
    with serving() as server:
        with pytest.raises(StudyError, match="does not do for the records themselves"):
            mw.audit(endpoint=server.url, max_queries=100, **audited(X, Y))
        assert server.requests == 0
        lean = mw.audit(endpoint=server.url, max_queries=200 + 200 + 2 * PROBES, **audited(X, Y))
        assert server.received <= 416
    assert lean.to_dict()["target"]["endpoint"]["max_queries"] == 416


def test_tries_again_never_exceed_a_budget_nor_lose(tmp_path: Path) -> None:
    def fault(handler: Any, number: int) -> bool:
        return bool(number % 2 and (handler.reply(500, {}), True)[1])

    need = 400 + 2 * PROBES
    with serving(fault=fault) as server:
        arguments = audited(X, Y, settings={"target.retries": 9, "target.concurrency": 1})
        with pytest.raises((BudgetSpent, StudyError)):
            mw.audit(endpoint=server.url, max_queries=need, **arguments, out=tmp_path / "run")
        assert server.received == need
        server.fault = None
        before = len(server.seen)
        mw.audit(endpoint=server.url, max_queries=4 * need, **arguments, out=tmp_path / "run")
        assert len(server.seen) == 400
        assert before > 100
        assert set(server.seen.values()) <= {1, 2, 3}


def test_a_dry_run_counts_and_asks_nothing(tmp_path: Path) -> None:
    with serving() as server:
        line = flags(server.url, tmp_path / "run", tmp_path, "--dry-run", "--max-queries", "5000")
        line += ["--attacks", "loss,label-only-noise,label-only-boundary", "--set", "attacks.boundary_records=20"]
        line += ["--set", "attacks.boundary_queries=100"]
        said = json.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)
        text = CliRunner().invoke(app, line).stdout
        assert server.requests == 0
        assert not (tmp_path / "run").exists()
    assert said["questions"]["attacks"] == {
        "loss": 400,
        "label-only-noise": 400 + 100 * 200,
        "label-only-boundary": 400 + 20 * 100,
    }
    assert said["questions"]["total"] == 400 + 2 * PROBES + 2000
    assert list(said["questions"]["skipped"]) == ["label-only-noise"]
    assert "2,416 at most of 5,000" in text
    assert "label-only-noise: needs 20,000 further" in text


def test_labels_alone_are_attacked_by_labels() -> None:
    with serving(lambda x: probabilities(x).argmax(1)) as server:
        result = mw.audit(endpoint=server.url, **audited(X, Y, attacks=["default"]))
        assert result.to_dict()["target"]["endpoint"]["answers"] == "labels"
        ran = {attack["name"] for attack in result.to_dict()["attacks"]}
        assert {"gap", "label-only-noise"} <= ran
        assert "label-only-noise" in codes(result)["endpoint-labels"]
        assert "labels alone" in codes(result)["endpoint-without-policy"]
    given = mw.audit(
        target=LabelObject(), **audited(X, Y, attacks=["gap", "label-only-noise"], settings={"target.model": None})
    )
    assert result.scores[["gap", "label-only-noise"]].equals(given.scores[["gap", "label-only-noise"]])


class LabelObject:
    def predict(self, x: Any) -> Any:
        return probabilities(x).argmax(1)


def test_a_tier_that_turns_to_labels_is_noticed_and_used(tmp_path: Path) -> None:
    def predict(x: Any) -> Any:
        return probabilities(x) if server.received <= 300 else probabilities(x).argmax(1)

    with serving(predict) as server:
        result = mw.audit(endpoint=server.url, **audited(X, Y, attacks=["default"]), out=tmp_path / "run")
        facts = result.to_dict()["target"]["endpoint"]
        assert facts["answers"] == "labels"
        assert 0 < facts["labels"] < facts["records"]
        assert (
            f"{facts['labels']:,} of {facts['records']:,} answers are labels alone" in codes(result)["endpoint-coarser"]
        )
        assert max(server.seen.values()) <= 3
        assert "endpoint-changed" in codes(result)  # figures at first, labels at the end
    assert {"gap", "label-only-noise"} <= {attack["name"] for attack in result.to_dict()["attacks"]}


@pytest.mark.slow
def test_figures_stay_where_only_further_questions_are_coarse(tmp_path: Path) -> None:
    """Attacks that read figures have them all; those that ask further read labels, whoever answers these."""

    def predict(x: Any) -> Any:
        return probabilities(x) if server.received <= 450 else probabilities(x).argmax(1)

    attacks = ["loss", "lira-online-fixed", "label-only-noise"]
    with serving(predict) as server:
        result = mw.audit(endpoint=server.url, **audited(X, Y, attacks=attacks), out=tmp_path / "run")
    facts = result.to_dict()["target"]["endpoint"]
    assert facts["answers"] == "probabilities"
    assert 0 < facts["labels"] < facts["records"]
    with serving() as server:
        whole = mw.audit(endpoint=server.url, **audited(X, Y, attacks=attacks))
    assert result.scores[attacks].equals(whole.scores[attacks])


def test_the_end_of_a_servers_budget_loses_nothing(tmp_path: Path) -> None:
    with serving(fault=budget_of(150)) as server:
        line = flags(server.url, tmp_path / "run", tmp_path, "--attacks", "loss")
        stopped = CliRunner().invoke(app, line)
        assert stopped.exit_code == 4
        assert "the server grants no more answers" in stopped.stderr
        assert "the same command continues" in stopped.stderr
        assert len(server.seen) == 150
        server.fault = None
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.stderr
        assert len(server.seen) == 400
        assert sum(server.seen.values()) == 400 + 2 * PROBES


def test_a_collector_beyond_the_servers_budget_is_skipped(tmp_path: Path) -> None:
    with serving(fault=budget_of(600)) as server:
        few = {"attacks.boundary_queries": 100, "attacks.boundary_records": 10}
        arguments = audited(X, Y, attacks=["loss", "label-only-boundary"], settings=few)
        result = mw.audit(endpoint=server.url, **arguments, out=tmp_path / "run")
        [skipped] = result.to_dict()["skipped"]
        assert skipped["name"] == "label-only-boundary"
        assert skipped["reason"] == "needs further questions, and the server grants no more answers"
        assert "the server grants no more answers" in codes(result)["endpoint-budget"]
        server.fault = None
        again = mw.audit(endpoint=server.url, **arguments, out=tmp_path / "run")
        assert again.to_dict()["skipped"] == []


POLICY = """
version = 1
[[answer]]
name = "rounding"
digits = 1
[plans.default]
questions = 100
"""


def test_shadow_models_answer_by_the_policy_the_target_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    rounding = Rounding(digits=1)

    def rounded(x: Any) -> Any:
        return rounding.answer(FunctionTarget(probabilities, 4, "probabilities"), x, None, [b"0" * 32])[0]

    attacks = ["gap", "loss", "confidence", "lira-online-fixed", "lira-offline-fixed"]
    with serving(rounded) as server:
        served = mw.audit(endpoint=server.url, policy=file, **audited(X, Y, attacks=attacks), out=tmp_path / "run")
        plain = mw.audit(endpoint=server.url, **audited(X, Y, attacks=["loss"]))
    settings = {"target.model": None, "answer": [{"name": "rounding", "digits": 1}]}
    given = mw.audit(target=probabilities, **audited(X, Y, attacks=attacks, settings=settings))
    assert served.scores.equals(given.scores)
    assert served.to_dict()["target"]["endpoint"]["policy"] == ["rounding"]
    assert "rounded to 1 digits" in codes(plain)["endpoint-without-policy"]
    assert "endpoint-without-policy" not in codes(served)
    assert "endpoint-policy" in codes(served)
    file.write_text(POLICY.replace("digits = 1", "digits = 2"))
    with pytest.raises(mw.MemberwiseError, match="holds another study's run"):
        mw.audit(endpoint=server.url, policy=file, **audited(X, Y, attacks=attacks), out=tmp_path / "run")


def test_shadow_data_may_be_made_by_asking_it(tmp_path: Path) -> None:
    synthetic = {
        "shadow.data": "synthetic",
        "shadow.synthesis": {"conf_min": 0.3, "iter_max": 60, "k_max": 3, "k_min": 1},
    }
    more = audited(X, Y, attacks=["loss", "shokri"], settings=synthetic)
    with serving() as server:
        served = mw.audit(endpoint=server.url, **more, out=tmp_path / "run")
        asked = server.received
        again = mw.audit(endpoint=server.url, **more, out=tmp_path / "run")
        assert server.received == asked
    given = mw.audit(target=probabilities, **{**more, "settings": more["settings"] | {"target.model": None}})
    assert served.scores.equals(given.scores)
    assert again.scores.equals(given.scores)
    assert served.to_dict()["target"]["endpoint"]["changed_meanwhile"] == 0


def test_without_the_client_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(mw.MemberwiseError, match=r"pip install 'memberwise\[endpoint\]'"):
        mw.audit(endpoint="http://127.0.0.1:9", **audited(X, Y))


def test_noise_and_a_new_version_warn() -> None:
    def newer(x: Any) -> Any:
        return probabilities(x if server.received <= 300 else x * np.float32(1.2))

    with serving(newer) as server:
        result = mw.audit(endpoint=server.url, **audited(X, Y))
    assert "8 of 8 records were answered otherwise" in codes(result)["endpoint-changed"]
    rng = np.random.default_rng(0)
    with serving(lambda x: np.clip(probabilities(x) + rng.normal(0, 0.01, (len(x), 4)), 0, 1)) as server:
        result = mw.audit(endpoint=server.url, **audited(X, Y))
    assert "8 of 8 records were answered otherwise" in codes(result)["endpoint-noise"]


def test_the_report_has_a_section_of_the_endpoint(tmp_path: Path) -> None:
    with serving() as server:
        mw.audit(endpoint=server.url, **audited(X, Y), out=tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The served model" in page
    assert server.url in page
    assert "416 questions" in page
    signals = mw.load_signals(tmp_path / "run", data=(X, Y), **roles())
    assert signals.target.kind == "probabilities"


def roles() -> dict[str, Any]:
    return {"train_rows": np.arange(100), "members": np.arange(100), "nonmembers": np.arange(100, 200)}


def test_secrets_are_nowhere_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVED", "tok-5f0e9c")
    with serving(headers={"Authorization": "Bearer tok-5f0e9c"}) as server:
        arguments = audited(X, Y, settings={"target.token_env": "SERVED"})
        mw.audit(endpoint=server.url, **arguments, out=tmp_path / "run")
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or b"5f0e9c" not in file.read_bytes(), file


@pytest.mark.parametrize(
    "address", ["http://user:hidden@h", "http://h/?api_key=hidden", "https://h/x?sig=1&token=hidden"]
)
def test_credentials_in_an_address_are_refused_unsaid(address: str) -> None:
    with pytest.raises(StudyError, match="holds credentials") as caught:
        make_study({"target": {"endpoint": address}}, "flags")
    assert "hidden" not in str(caught.value)


def test_keys_of_speed_are_not_part_of_the_run() -> None:
    keys = {"endpoint": "http://h", "model": "m"}
    one = make_study({"target": keys}, "x").training_key()
    fast = {"batch": 9, "concurrency": 2, "timeout": 3, "retries": 1, "max_queries": 5, "token_env": "T", "probes": 2}
    assert make_study({"target": keys | fast}, "x").training_key() == one
    for other in (
        {"output": "p"},
        {"records": "raw"},
        {"classes": ["a"]},
        {"endpoint": "http://g"},
        {"protocol": "v1"},
    ):
        assert make_study({"target": keys | other}, "x").training_key() != one


def test_a_file_and_an_endpoint_are_too_many() -> None:
    settings = {"target.file": "model.onnx", "target.endpoint": "http://127.0.0.1:9"}
    with pytest.raises(StudyError, match="in a file or served, not both"):
        mw.audit(data=(X, Y), settings=settings)
    with pytest.raises(StudyError, match="an object or served, not both"):
        mw.audit(endpoint="http://127.0.0.1:9", target=probabilities, **audited(X, Y))


@pytest.mark.parametrize("keys", [{"max_queries": 5}, {"protocol": "v1"}, {"policy": "policy.toml"}, {"batch": 3}])
def test_keys_of_an_endpoint_want_one(keys: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="this is about a served model, and there is none"):
        mw.audit(data=(X, Y), settings={f"target.{name}": value for name, value in keys.items()})
