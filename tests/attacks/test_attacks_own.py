"""Attacks and collectors of the user's own, as docs/adding-an-attack.md shows them: command line and Python."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner, Result

import memberwise as mw
from memberwise.attacks import ATTACKS, Attack, Needs
from memberwise.attacks.request import AttackRequest
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.reuse import audit_or_reuse
from memberwise.cli.main import app
from memberwise.signals import Signals
from memberwise.signals.collectors.registry import collector_key, collectors
from memberwise.signals.questions import Access, Extra, Questions
from memberwise.study.entrypoint import load_entrypoint
from memberwise.study.schema import AttacksConfig, Study
from memberwise.types.arrays import Floats

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adding-an-attack.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MEDIAN = BLOCKS[0]
[LOADED] = [block for block in BLOCKS if "load_signals" in block]
[NEGATIVES] = [block for block in BLOCKS if "class Negatives" in block]
SMALL: dict[str, Any] = {"data": "digits", "members": 100, "nonmembers": 100, "shadow_models": 4, "seed": 1}
FAST = {"training.epochs": 20, "model.hidden": [16]}
FLAGS = ["--data", "digits", "--members", "100", "--nonmembers", "100", "--shadow-models", "4", "--seed", "1"]
FLAGS += ["--set", "training.epochs=20", "--set", "model.hidden=[16]", "--quiet"]
LOSS = ATTACKS["loss"]
# Where figures do not matter.
TINY = {"training.epochs": 2, "model.hidden": [8]}


def call(*args: str) -> Result:
    return CliRunner().invoke(app, ["audit", *FLAGS, *args])


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mine.py and negatives.py of the page, and the run of mine.py from the command line."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MEDIAN)
    (folder / "negatives.py").write_text(NEGATIVES)
    done = call("--attacks", f"loss,{folder}/mine.py:ATTACK", "--fail-if", "median:auc>0.999", "--out", f"{folder}/run")
    assert done.exit_code == 0, done.output
    return folder


def test_the_pages_attack_takes_ten_lines() -> None:
    assert len([line for line in MEDIAN.splitlines() if line.strip() and not line.startswith(("import", "from"))]) <= 10


@pytest.mark.slow
def test_a_files_attack_is_in_result_report_and_scores(mine: Path) -> None:
    result = mw.Result.load(mine / "run")
    assert [attack["name"] for attack in result.data["attacks"]] == ["loss", "median"]
    assert result.data["study"]["attacks"]["use"] == ["loss", f"{mine}/mine.py:ATTACK"]
    assert result.data["verdict"]["rules"][0]["rule"].startswith("median:auc")
    assert list(result.scores.columns[-2:]) == ["loss", "median"]
    assert "median" in (mine / "run" / "report.html").read_text()


@pytest.mark.slow
def test_an_object_scores_as_its_file_does(mine: Path, tmp_path: Path) -> None:
    attack = load_entrypoint(f"{mine}/mine.py:ATTACK", "attacks.use")
    result = mw.audit(
        **SMALL, settings=FAST, attacks=[attack, "loss"], fail_if="median:auc>0.999", out=tmp_path / "run"
    )
    pd.testing.assert_frame_equal(result.scores, mw.Result.load(mine / "run").scores)
    [_, named] = sorted(result.data["study"]["attacks"]["use"])
    assert re.fullmatch("median@[0-9a-f]{12}", named)


@pytest.mark.slow
def test_a_run_with_an_object_says_what_is_missing(mine: Path, tmp_path: Path) -> None:
    attack = load_entrypoint(f"{mine}/mine.py:ATTACK", "attacks.use")
    mw.audit(**SMALL, settings=FAST, attacks=attack, out=tmp_path / "run")
    study = str(tmp_path / "run" / "study.toml")
    done = CliRunner().invoke(app, ["audit", study, "--out", f"{tmp_path}/run", "--resume"])
    assert done.exit_code == 2
    assert "the attack median was given in Python, as an object, and is not at hand" in done.stderr
    goes_on = ["audit", study, "--out", f"{tmp_path}/run", "--resume", "--attacks", f"{mine}/mine.py:ATTACK", "--quiet"]
    assert CliRunner().invoke(app, goes_on).exit_code == 0


@pytest.mark.slow
def test_the_pages_attack_from_a_loaded_table_runs(mine: Path) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(LOADED.replace("runs/mine", str(mine / "run")), {})
    assert 0.3 < float(printed.getvalue()) <= 1
    signals = mw.load_signals(mine / "run")
    attack = load_entrypoint(f"{mine}/mine.py:ATTACK", "attacks.use")
    scores = attack.score(signals, np.random.default_rng(0))
    np.testing.assert_array_equal(scores, mw.Result.load(mine / "run").scores["median"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic", "estimator"])
def test_the_pages_collector_gathers_for_its_attack(mine: Path, tmp_path: Path, model: str) -> None:
    from sklearn.tree import DecisionTreeClassifier

    settings = {"model": DecisionTreeClassifier(), "settings": {}} if model == "estimator" else {"settings": TINY}
    attack = f"{mine}/negatives.py:ATTACK"
    result = mw.audit(**SMALL, **settings, attacks=[attack], out=tmp_path / "run")
    [entry] = result.data["attacks"]
    assert (entry["name"], entry["queries"]) == ("negatives", 1)
    assert entry["needs"] == ["answered label", "true label", "labels of negatives"]
    assert set(result.scores["negatives"]) <= {0.0, 1.0}
    signals = mw.load_signals(tmp_path / "run")
    assert signals.shadows is not None
    assert signals.shadows.extra["negatives"].shape == (4, 200)


@pytest.mark.slow
def test_other_parameters_of_a_collector_ask_again(mine: Path, tmp_path: Path) -> None:
    first = load_entrypoint(f"{mine}/negatives.py:ATTACK", "attacks.use")
    other = replace(first, needs=replace(first.needs, extra=replace(first.needs.extra, factor=1.0)))
    codes = []
    for attack in (first, first, other):
        result = mw.audit(**SMALL, settings=TINY, attacks=[attack, "gap"], out=tmp_path / "run")
        codes.append({warning["code"] for warning in result.data["warnings"]})
    assert "block-trained-again" not in codes[0] | codes[1]
    assert "block-trained-again" in codes[2]
    assert (result.scores["negatives"] > 0.5).equals(result.scores["gap"] > 0.5), "a factor of 1 is the record itself"


def refused(*attacks: Any) -> mw.StudyError:
    with pytest.raises(mw.StudyError) as caught:
        mw.audit(**SMALL, settings=TINY, attacks=list(attacks))
    return caught.value


@pytest.mark.slow
def test_a_built_in_attacks_name_is_refused(mine: Path) -> None:
    error = refused(replace(LOSS, summary="Another."))
    assert error.problem == "an attack of one's own cannot be called loss: a built-in one has that name"
    assert error.found == "the object loss beside the built-in loss"
    assert refused(replace(LOSS, name="all")).problem.startswith("an attack of one's own cannot be called all")
    assert refused(replace(LOSS, name="a b")).found == "'a b'"


@pytest.mark.slow
def test_two_attacks_of_one_name_are_refused(mine: Path) -> None:
    error = refused(f"{mine}/mine.py:ATTACK", replace(LOSS, name="median"))
    assert error.problem == "two attacks are called median"


@pytest.mark.parametrize(
    ("needs", "problem"),
    [
        (Needs(extra="nosuch"), "states a needs.extra that there is not"),
        (Needs(answers="words"), "states a needs.answers that there is not"),  # type: ignore[arg-type]
        (Needs(shadows="all"), "states a needs.shadows that there is not"),  # type: ignore[arg-type]
        ("none", "does not say what it needs"),
    ],
)
def test_needs_that_there_are_not_are_refused(needs: Any, problem: str) -> None:
    assert problem in refused(replace(LOSS, name="own", needs=needs)).problem


@pytest.mark.slow
def test_an_unknown_place_or_name_is_told(mine: Path) -> None:
    assert refused(f"{mine}/mine.py:ATACK").fix == "did you mean ATTACK?"
    assert refused(f"{mine}/mine.py:score").problem.endswith("mine.py:score is no attack")
    assert refused(f"{mine}/nosuch.py:ATTACK").problem.endswith("nosuch.py does not exist")
    assert refused(3).problem == "3 is no attack"


@pytest.mark.slow
def test_a_built_in_object_goes_by_its_name() -> None:
    study = mw.audit(**SMALL, settings=TINY, attacks=[LOSS, "gap"]).data["study"]
    assert study["attacks"]["use"] == ["loss", "gap"]


def failing(signals: Any, rng: np.random.Generator) -> Any:
    raise KeyError("nothing there")


@pytest.mark.slow
def test_an_attack_that_raises_ends_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(MEDIAN.replace("    assert", "    signals.nosuch\n    assert"))
    done = call("--attacks", f"gap,{tmp_path}/bad.py:ATTACK", "--out", f"{tmp_path}/run")
    assert done.exit_code == 4
    assert "the attack median fails" in done.stderr
    line = 1 + MEDIAN.splitlines().index(next(line for line in MEDIAN.splitlines() if "    assert" in line))
    assert f"{tmp_path}/bad.py, line {line}" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(mw.TrainingError, match="the attack own fails") as caught:
        mw.audit(**SMALL, settings=TINY, attacks=[replace(LOSS, name="own", score=failing)])
    assert caught.value.found == "KeyError: 'nothing there'"
    with pytest.raises(mw.TrainingError, match="own gave scores of shape"):
        mw.audit(**SMALL, settings=TINY, attacks=[replace(LOSS, name="own", score=lambda signals, rng: np.zeros(3))])


@pytest.mark.slow
def test_a_finished_run_with_an_own_attack_runs_it_again(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MEDIAN)
    study = Study.model_validate(
        {
            "data": {"source": "digits", "members": 60, "nonmembers": 60},
            "shadow": {"count": 2},
            "training": {"epochs": 2},
            "attacks": {"use": [f"{tmp_path}/mine.py:ATTACK"]},
            "run": {"out": str(tmp_path / "run")},
        }
    )
    before = audit_or_reuse(study).scores["median"]
    (tmp_path / "mine.py").write_text(MEDIAN.replace("return scores", "return 2 * scores"))
    np.testing.assert_allclose(audit_or_reuse(study).scores["median"], 2 * before)


@pytest.mark.slow
def test_a_headline_and_rules_may_name_an_own_attack(mine: Path) -> None:
    study = Study.model_validate(
        {"attacks": {"use": [f"{mine}/mine.py:ATTACK"], "headline": "median"}, "gate": {"rules": ["median:auc>0.6"]}}
    )
    request = AttackRequest.of(study)
    assert [attack.name for attack in request.attacks] == ["median"]
    assert [attack.name for attack in request.own] == ["median"]
    other = study.model_copy(update={"attacks": study.attacks.model_copy(update={"headline": "medain"})})
    with pytest.raises(mw.StudyError, match="there is no attack medain") as caught:
        AttackRequest.of(other)
    assert caught.value.fix == "did you mean median?"


@dataclass(frozen=True)
class Counted:
    """A collector that gathers nothing much."""

    many: Annotated[int, Field(ge=1)] = 1

    name: ClassVar[str] = "counted"
    words: ClassVar[str] = "nothing much"
    most_models: ClassVar[int] = 2

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        return Extra(np.zeros(access.count + self.many - 1), np.ones((access.count, len(questions.audited)), np.int32))


class Modelled(BaseModel):
    """The same as a pydantic model."""

    model_config = ConfigDict(frozen=True)
    many: int = 1

    name: ClassVar[str] = "modelled"
    words: ClassVar[str] = "nothing much"
    most_models: ClassVar[int] = 2

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        return Counted(self.many).collect(access, questions)


class Thawed:
    name, words, most_models = "thawed", "nothing much", 2

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        return None


@dataclass(frozen=True)
class Noised(Counted):
    name: ClassVar[str] = "noised"


def with_collector(collector: Any) -> Attack:
    return Attack("own", lambda signals, rng: rng.random(signals.records), Needs(extra=collector), "here", "Own.")


@pytest.mark.parametrize(
    ("collector", "problem", "part"),
    [
        (Counted(0), "the parameter many of the collector counted is not usable", "greater than or equal to 1"),
        (Counted("3"), "the parameter many of the collector counted is not usable", "'3'"),  # type: ignore[arg-type]
        (Modelled.model_construct(many="3"), "the parameter many of the collector modelled is not usable", "'3'"),  # type: ignore[arg-type]
        (Counted, "what an attack needs is no collector", "the class Counted"),
        (Thawed(), "what an attack needs is no collector", "Thawed, which is not frozen"),
        (3, "what an attack needs is no collector", "int, without name, words, most_models, collect"),
        (Noised(), "a collector of one's own cannot be called 'noised'", "beside the built-in noised"),
    ],
)
def test_collectors_that_cannot_be_used_are_refused(collector: Any, problem: str, part: str) -> None:
    error = refused(with_collector(collector))
    assert error.problem == problem
    assert part in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Counted, Modelled])
def test_dataclasses_and_models_are_collectors(kind: Any) -> None:
    result = mw.audit(**SMALL, settings=TINY, attacks=[with_collector(kind())])
    assert [attack["name"] for attack in result.data["attacks"]] == ["own"]
    with pytest.raises(mw.TrainingError, match="gathers something of another form"):
        mw.audit(**SMALL, settings=TINY, attacks=[with_collector(kind(many=3))])


def test_a_key_changes_with_parameters_and_names_clash() -> None:
    assert collector_key(Counted()) == collector_key(Counted(1)) != collector_key(Counted(2))
    assert collector_key(Modelled()) != collector_key(Modelled(many=2))
    assert collectors([Counted(), Counted()], AttacksConfig()) == (Counted(),)
    with pytest.raises(mw.StudyError, match="two collectors are called counted"):
        collectors([Counted(), Counted(2)], AttacksConfig())


def test_inputs_hold_the_attacks_that_are_objects() -> None:
    assert Inputs().attacks == ()


def test_attack_that_writes_into_the_table_is_refused(tmp_path: Path) -> None:
    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        signals.target.log_p[:] = 0
        return np.zeros(signals.records)

    attack = Attack("writes", score, Needs(), "none", "Writes.")
    small = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 2}
    with pytest.raises(mw.TrainingError, match=r"the attack writes fails(.|\n)*read-only"):
        mw.audit(**small, attacks=[attack, "loss"], settings={"training.epochs": 1}, out=tmp_path)  # type: ignore[arg-type]
