"""The ensemble that ``pac`` trains: which world learned what, kept in a folder, and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defence_cases import RECIPE, jobs, mlp, records
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from memberwise.defences.bounded.worlds import world_rows
from memberwise.defences.training.base import Fit
from memberwise.defences.training.pac import DEFENCE, PacOptions, PacWorlds
from memberwise.defences.training.registry import write_out_defence
from memberwise.errors import StudyError, TargetError
from memberwise.store.folder import WORLDS
from memberwise.study.reading import make_study
from memberwise.targets.ensembles import Ensembles, load_ensemble
from memberwise.targets.files import load_target
from memberwise.training.job import Ensemble
from memberwise.training.plan import Plan
from memberwise.training.step import Step
from memberwise.training.trainers.stack import StackTrainer

DATA = records(200)
X = DATA.x.numpy()
ENGINE = StackTrainer(mlp(), DATA, Plan(8))


@pytest.fixture(scope="module")
def trained() -> Ensembles:
    wanted = [replace(job, procedure=PacWorlds(4, 0.75)) for job in jobs(Step(), 2)]
    ensembles = ENGINE.train(wanted)
    assert isinstance(ensembles, Ensembles)
    return ensembles


def test_each_world_is_a_plain_model_on_its_rows(trained: Ensembles) -> None:
    job = jobs(Step(), 2)[1]
    asked = next(PacWorlds(4, 0.75).fit(job))
    pool = world_rows(len(job.rows), 4, 0.75, job.seed)
    assert [one.rows.tolist() for one in asked] == [job.rows[part].tolist() for part in pool]
    assert len({one.seed for one in asked}) == 4
    plain = ENGINE.train(asked[2:3]).predict(X)[0]
    np.testing.assert_allclose(trained.worlds(X)[1, 2], plain, atol=1e-4)


def test_an_ensemble_answers_its_mean_probability(trained: Ensembles) -> None:
    worlds = trained.worlds(X)
    assert (len(trained), worlds.shape[:3]) == (2, (2, 4, 200))
    np.testing.assert_allclose(softmax(trained.predict(X), -1), softmax(worlds, -1).mean(1), atol=1e-6)
    np.testing.assert_array_equal(trained.one(1).worlds(X)[0], worlds[1])
    assert trained.white_box is None


def test_an_ensemble_comes_back_from_its_file(trained: Ensembles, tmp_path: Path) -> None:
    path, one = tmp_path / "model.safetensors", trained.one(0)
    tensors = {name: value.numpy() for name, value in one.weights().items()}
    save_file(tensors, path, {WORLDS: "4"})
    back = load_ensemble(path, mlp(), 4)
    np.testing.assert_allclose(back.worlds(X), one.worlds(X), atol=1e-5)
    with pytest.raises(TargetError, match="do not fit the architecture"):
        load_ensemble(path, mlp(), 5)
    with pytest.raises(TargetError, match="do not fit the architecture"):
        load_ensemble(path, mlp(width=3), 4)
    with pytest.raises(TargetError, match="holds an ensemble"):
        load_target(path, None)  # type: ignore[arg-type]
    assert load_file(path).keys() == one.weights().keys()


def test_the_study_gets_the_output_defence_once() -> None:
    values: dict[str, Any] = {"training": {"defence": {"name": "pac", "worlds": 8, "share": "7/8", "questions": 500}}}
    study = write_out_defence(make_study(values, "a test"))
    [answer] = study.answer
    assert answer.model_dump() == {"name": "pac", "share": 0.875, "questions": 500}
    assert write_out_defence(study) == study
    assert write_out_defence(make_study(study.to_dict(), "again")) == study


@pytest.mark.parametrize(
    "options",
    [
        {"worlds": 1},
        {"worlds": 3},
        {"worlds": 32, "share": 0.9},
        {"share": "1/4"},
        {"share": 1},
        {"max_attack_success": 0.4},
        {"budget_nats": 1, "max_attack_success": 0.6},
        {"answers": "logits"},
    ],
)
def test_impossible_ensembles_are_refused(options: dict[str, Any]) -> None:
    study = make_study({"training": {"defence": {"name": "pac", **options}}}, "a test")
    with pytest.raises(StudyError):
        write_out_defence(study)


def test_fewer_records_than_worlds_are_refused() -> None:
    assert DEFENCE.check is not None
    with pytest.raises(StudyError, match="more records than worlds"):
        DEFENCE.check(PacOptions(), Fit(2, 31, RECIPE), mlp().module)
    [(code, message)] = DEFENCE.check(PacOptions(), Fit(2, 32, RECIPE), mlp().module)
    assert code == "pac-bound"
    assert "bounds nothing about being in the pool" in message


def test_ensembles_of_different_sizes_are_refused() -> None:
    from memberwise.errors import TrainingError

    wanted = [replace(job, procedure=PacWorlds(n, 0.5)) for job, n in zip(jobs(Step(), 2), (2, 4), strict=True)]
    with pytest.raises(TrainingError, match="different sizes"):
        ENGINE.train(wanted)
    assert Ensemble(()).worlds == ()
