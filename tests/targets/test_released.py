"""A model from its folder answers raw records as it did in the audit, by its policy and a secret of its own."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch import nn

import memberwise as mw
from memberwise.defences.released import _is_ours
from memberwise.errors import RunFolderError, StudyError, TargetError

SMALL: dict[str, Any] = {"members": 120, "nonmembers": 120, "shadow_models": 2, "attacks": ["loss"]}
FAST = {"training.epochs": 6, "model.hidden": [16]}
NOISE = {"name": "confidence-noise", "r": 1.0}


def table(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "person": [f"p{i}" for i in range(n)],
            "age": rng.integers(18, 90, n),
            "income": rng.lognormal(10, 1, n),
            "job": rng.choice(["nurse", "smith", "clerk", None], n),  # type: ignore[arg-type]
            "smokes": rng.random(n) < 0.4,
        }
    )
    score = (frame["age"] > 50).astype(int) + (frame["income"] > 22_000) + rng.integers(0, 2, n)
    return frame.assign(diagnosis=np.array(["none", "mild", "severe", "acute"])[score])


def audit(out: Path, answer: Any = (), seed: int = 3, **more: Any) -> mw.Result:
    settings = FAST | {"answer": list(answer)}
    common = {"data": table(), "label": "diagnosis", "unit": "person", "reference": 100}
    return mw.audit(**common | SMALL | more, seed=seed, out=out, settings=settings)  # type: ignore[arg-type]


def asked(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the audited records, and the target's full answers about them in the run."""
    rows = pd.read_csv(folder / "scores.csv")["index"].to_numpy()
    with np.load(folder / "signals" / "block-00000.npz") as block:
        return rows, block["audited.vectors"][0].astype(float)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    audit(folder / "plain")
    audit(folder / "steady", [{"name": "memguard", "epochs": 50}, {"name": "rounding"}])
    audit(folder / "noisy", [NOISE])
    return folder


@pytest.mark.slow
def test_raw_rows_get_the_answers_of_the_run(runs: Path) -> None:
    for name in ("plain", "steady"):
        rows, answers = asked(runs / name)
        target = mw.load_target(runs / name)
        expected = softmax(answers, axis=1) if name == "plain" else answers
        np.testing.assert_allclose(target.predict(table().iloc[rows]), expected, atol=1e-6)
        assert target.classes == ("acute", "mild", "none", "severe")
        assert target.columns == ("age", "income", "job", "smokes")
    assert mw.load_target(runs / "steady" / "target").policy == ("memguard", "rounding")
    rows, _ = asked(runs / "plain")
    undefended = mw.load_target(runs / "steady", policy=False).predict(table())
    np.testing.assert_allclose(undefended, mw.load_target(runs / "plain").predict(table()), atol=1e-6)


@pytest.mark.slow
def test_a_process_of_its_own_that_knows_nothing_else(runs: Path, tmp_path: Path) -> None:
    rows, answers = asked(runs / "steady")
    frame = table().drop(columns=["person", "diagnosis"]).iloc[rows]
    frame.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, numpy, pandas, memberwise\n"
        "target = memberwise.load_target(sys.argv[1])\n"
        "numpy.save(sys.argv[3], target.predict(pandas.read_parquet(sys.argv[2])))\n"
    )
    out = tmp_path / "answers.npy"
    arguments = [str(runs / "steady"), str(tmp_path / "rows.parquet"), str(out)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(out), answers, atol=1e-6)


@pytest.mark.slow
def test_one_record_none_and_strange_levels(runs: Path) -> None:
    target = mw.load_target(runs / "noisy")
    whole = target.predict(table())
    np.testing.assert_allclose(target.predict(table()[7:8]), whole[7:8], atol=1e-6)
    assert target.predict(table()[:0]).shape == (0, 4)
    strange = target.predict(table().assign(job="astronaut"))
    assert np.isfinite(strange).all()
    np.testing.assert_allclose(strange.sum(1), 1)


@pytest.mark.slow
def test_the_released_secret_follows_from_nothing(runs: Path, tmp_path: Path) -> None:
    """The audit's figures follow from the seed; answers that are released do not, and stay what they are."""
    again = audit(tmp_path / "again", [NOISE])
    first = mw.Result.load(runs / "noisy")
    pd.testing.assert_frame_equal(again.scores, first.scores)
    rows, served = asked(runs / "noisy")
    answers = {
        "audit": softmax(served, axis=1),
        "first": mw.load_target(runs / "noisy").predict(table().iloc[rows]),
        "again": mw.load_target(tmp_path / "again").predict(table().iloc[rows]),
    }
    plain = np.log(mw.load_target(runs / "noisy", policy=False).predict(table().iloc[rows]))
    noise = [np.log(one) - plain for one in answers.values()]
    noise = [(one - one.mean(1, keepdims=True)).ravel() for one in noise]
    assert np.abs(np.corrcoef(noise)[np.triu_indices(3, 1)]).max() < 0.15
    assert all(one.std() == pytest.approx(noise[0].std(), rel=0.1) for one in noise)
    np.testing.assert_array_equal(answers["first"], mw.load_target(runs / "noisy").predict(table().iloc[rows]))


@pytest.mark.slow
def test_the_secret_is_in_its_file_alone_and_stays_there(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "noisy", tmp_path / "run")
    text = (run / "secret.key").read_text().strip()
    for path in run.rglob("*"):
        if path.is_file() and path.name != "secret.key":
            assert text.encode() not in path.read_bytes()
            assert bytes.fromhex(text) not in path.read_bytes()
    audit(run, [NOISE], resume=True)
    assert (run / "secret.key").read_text().strip() == text
    assert not (runs / "plain" / "secret.key").exists()


def _gone(run: Path) -> None:
    (run / "secret.key").unlink()


def _open(run: Path) -> None:
    (run / "secret.key").chmod(0o644)


def _no_policy(run: Path) -> None:
    (run / "policy.toml").unlink()


def _emptied(run: Path) -> None:
    (run / "policy.toml").write_text("answer = []")


def _weaker(run: Path) -> None:
    (run / "policy.toml").write_text('answer = [{ name = "confidence-noise", r = 0.1 }]')


def _harmed(run: Path) -> None:
    (run / "target" / "preprocessing.json").write_text("{}")


def _other(run: Path) -> None:
    facts = json.loads((run / "target" / "metadata.json").read_text())
    (run / "target" / "metadata.json").write_text(json.dumps(facts | {"format": 9}))


def _no_target(run: Path) -> None:
    shutil.rmtree(run / "target")


HARM = [
    (_gone, "secret of the model's answers is not there"),
    (_open, "others may read the secret"),
    (_no_policy, "policy by which the model answers cannot be read"),
    (_emptied, r"not the one with which the model was released(.|\n)*confidence-noise"),
    (_weaker, r"not the one with which the model was released(.|\n)*'r': 1.0(.|\n)*'r': 0.1"),
    (_harmed, r"missing or was changed(.|\n)*preprocessing.json"),
    (_other, "written by another version"),
    (_no_target, "holds no model"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("harm", "match"), HARM)
def test_missing_or_harmed_secret_is_told_never_bypassed(runs: Path, tmp_path: Path, harm: Any, match: str) -> None:
    run = shutil.copytree(runs / "noisy", tmp_path / "run")
    harm(run)
    with pytest.raises(RunFolderError, match=match):
        mw.load_target(run)


@pytest.mark.slow
def test_images_and_fitted_defences(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (300, 9, 8), dtype=np.uint8)
    labels = (images[:, :4].mean((1, 2)) > 127).astype(int)
    answer = [{"name": "rounding", "digits": 4}]
    audit(tmp_path / "run", answer, data=(images, labels), label=None, unit=None, reference=None)
    rows, answers = asked(tmp_path / "run")
    np.testing.assert_allclose(mw.load_target(tmp_path / "run").predict(images[rows]), answers, atol=1e-6)
    for name in ("hamp", "ldl"):
        answer = [{"name": name} | ({"copies": 3} if name == "ldl" else {})]
        only: dict[str, Any] = {
            "data": (images, labels),
            "label": None,
            "unit": None,
            "reference": None,
            "attacks": ["gap"],
        }
        audit(tmp_path / name, answer, **only)
        learned = tmp_path / name / "target" / "defences.npz"
        assert stat.S_IMODE(learned.stat().st_mode) == 0o600, "what was learned of members is the owner's"
        target = mw.load_target(tmp_path / name)
        bare = mw.load_target(tmp_path / name, policy=False).predict(images)
        if name == "hamp":  # keeps the label, and gives other scores
            np.testing.assert_array_equal(target.predict(images).argmax(1), bare.argmax(1))
            assert np.abs(target.predict(images) - bare).max() > 0.05
        else:
            assert target.kind == "labels"
            assert (target.predict(images) == bare.argmax(1)).mean() > 0.8


MINE = """
import numpy as np
from torch import nn
from memberwise.defences.output.base import OutputDefence, as_probabilities

def make_model(shape, classes, width=8):
    return nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, classes), nn.Softmax(1))

class Coarse(OutputDefence):
    def answer(self, ask, x, states, keys):
        return np.round(4 * as_probabilities(ask(x), ask.kind)) / 4

class Learned(Coarse):
    def fit(self, ask, members, reference, rngs):
        return [float(members(i).mean()) for i in range(len(ask))]
"""


@pytest.mark.slow
def test_code_of_ones_own_runs_only_where_it_is_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    audit(tmp_path / "run", [{"name": f"{mine}:Coarse"}], model=f"{mine}:make_model")
    rows, answers = asked(tmp_path / "run")
    named = f"{mine}:make_model"
    with pytest.raises(StudyError, match=r"code of your own(.|\n)*model='.*mine.py:make_model'"):
        mw.load_target(tmp_path / "run")
    with pytest.raises(StudyError, match=r"code of your own(.|\n)*trust="):
        mw.load_target(tmp_path / "run", model=named)
    target = mw.load_target(tmp_path / "run", model=named, trust=f"{mine}:Coarse")
    np.testing.assert_allclose(target.predict(table().iloc[rows]), answers, atol=1e-6)
    with pytest.raises(TargetError, match="do not fit"):
        mw.load_target(tmp_path / "run", model=lambda shape, classes: nn.Linear(shape[0], classes), policy=False)
    with pytest.raises(TargetError, match="makes a fresh module"):
        mw.load_target(tmp_path / "run", model=nn.Linear(3, 4), policy=False)
    facts = tmp_path / "run" / "target" / "metadata.json"
    facts.write_text(json.dumps(json.loads(facts.read_text("utf-8")) | {"built_in": True}), "utf-8")
    with pytest.raises(StudyError, match="code of your own"):  # whatever the folder says of it
        mw.load_target(tmp_path / "run", policy=False)


@pytest.mark.slow
def test_an_architecture_of_ours_by_its_place_is_no_own_code(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    only: dict[str, Any] = {"label": None, "unit": None, "reference": None, "settings": {"training.epochs": 1}}
    only |= {"data": (images, np.arange(300) % 3), "model": "memberwise.models.cnn:small_cnn"}
    mw.audit(**only | SMALL, seed=3, out=tmp_path)
    rows, answers = asked(tmp_path)
    np.testing.assert_allclose(mw.load_target(tmp_path).predict(images[rows]), softmax(answers, axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["os:system", "memberwise.models.mine.py:make", "memberwise.models.build:Path"])
def test_other_names_are_not_taken_for_ours(name: str) -> None:
    assert not _is_ours(name)


@pytest.mark.slow
def test_a_defence_that_does_not_say_what_it_learned(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    name = f"{tmp_path / 'mine.py'}:Learned"
    audit(tmp_path / "run", [{"name": name}])
    with pytest.raises(RunFolderError, match=r"Learned learned something(.|\n)*pack and unpack"):
        mw.load_target(tmp_path / "run", trust=[name])


@pytest.mark.slow
def test_python_module_is_not_taken_for_a_named_architecture(tmp_path: Path) -> None:
    def mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(shape[0], classes))

    audit(tmp_path / "run", model=mlp)
    with pytest.raises(StudyError, match="made by mlp, which is code of your own"):
        mw.load_target(tmp_path / "run")
    rows, answers = asked(tmp_path / "run")
    loaded = mw.load_target(tmp_path / "run", model=mlp).predict(table().iloc[rows])
    np.testing.assert_allclose(loaded, softmax(answers, axis=1), atol=1e-6)


@pytest.mark.slow
def test_a_run_whose_model_is_not_kept(tmp_path: Path) -> None:
    audit(tmp_path / "run", model=LogisticRegression())
    with pytest.raises(RunFolderError, match=r"holds no model(.|\n)*scikit-learn classifier"):
        mw.load_target(tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"holds no model(.|\n)*nothing"):
        mw.load_target(tmp_path / "nowhere")
