"""Audits of estimators: by the data's own labels, on the table's own rows, against figures computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import memberwise as mw
from memberwise.errors import DataError, StudyError, TargetError

N, ROWS = 300, np.arange(100)
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(20, 90, N),
        "bmi": RNG.normal(25, 4, N),
        "sex": RNG.choice(["f", "m"], N),
        "ward": pd.Categorical(RNG.choice(["a", "b", "c"], N)),
    }
)
ILL = ((FRAME.age > 55).to_numpy() ^ (RNG.random(N) < 0.25)).astype(int)
TABLE = FRAME.assign(outcome=np.array(["well", "ill"])[ILL])
NUMBERS = FRAME[["age", "bmi"]].to_numpy(float)
LABELS: list[Any] = [[0, 1], [-1, 1], [1.0, 2.0], [False, True], ["no", "yes"]]
ALONE: dict[str, Any] = {"shadow_models": 2, "seed": 1, "attacks": ["loss", "gap"], "settings": {"plan.threads": 1}}
TRAINED: dict[str, Any] = {"train_rows": ROWS, "members": ROWS, "nonmembers": np.arange(100, 200)}


def codes(result: mw.Result) -> dict[str, str]:
    return {warning["code"]: warning["message"] for warning in result.to_dict()["warnings"]}


def facts(result: mw.Result) -> tuple[float, float]:
    target = result.to_dict()["target"]
    return target["train_accuracy"], target["test_accuracy"]


def expected(target: Any, x: Any, y: Any) -> tuple[float, tuple[float, float]]:
    """The loss attack's AUC and both accuracies, from the target's own answers."""
    column = {label: number for number, label in enumerate(target.classes_.tolist())}
    p = target.predict_proba(x)
    right = np.array(
        [p[i, column[label]] if label in column else 0.0 for i, label in enumerate(np.asarray(y).tolist())]
    )
    part = slice(0, 200)
    return roc_auc_score(np.arange(200) < 100, right[part]), (
        float((target.predict(x[:100]) == y[:100]).mean()),
        float((target.predict(x[100:200]) == y[100:200]).mean()),
    )


def agrees_with_its_own_answers(y: Any) -> None:
    """A forest that was fitted on these labels is audited as its own answers say."""
    target = RandomForestClassifier(20, random_state=0).fit(NUMBERS[ROWS], y[ROWS])
    result = mw.audit(data=(NUMBERS, y), target=target, model=RandomForestClassifier(20), **TRAINED, **ALONE)
    area, accuracies = expected(target, NUMBERS, y)
    assert result.auc("loss").value == pytest.approx(area, abs=1e-3)
    assert facts(result) == pytest.approx(accuracies)


@pytest.mark.slow
@pytest.mark.parametrize("values", LABELS)
def test_a_fitted_target_of_any_labels(values: list[Any]) -> None:
    agrees_with_its_own_answers(np.array(values)[ILL])


@pytest.mark.slow
def test_a_target_that_saw_some_of_the_classes() -> None:
    agrees_with_its_own_answers(np.where(np.arange(N) >= 190, 3, ILL + 1))


@pytest.mark.slow
def test_weights_mean_the_datas_own_labels() -> None:
    found = []
    for values, weight in (([0, 1], {0: 50}), ([1, 2], {1: 50}), (["B", "M"], {"B": 50})):
        model = LogisticRegression(class_weight=weight, max_iter=500)
        data = ((NUMBERS - NUMBERS.mean(0)) / NUMBERS.std(0), np.array(values)[ILL])
        found.append(facts(mw.audit(model=model, data=data, members=100, nonmembers=100, **ALONE)))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_a_target_is_given_the_rows_whose_columns_it_knows() -> None:
    """Some of the table's columns, in another order, unscaled; the shadow models likewise."""
    x = FRAME[["bmi", "age"]]
    target = RandomForestClassifier(20, random_state=0).fit(x.iloc[ROWS], TABLE.outcome[ROWS])
    result = mw.audit(data=TABLE, label="outcome", target=target, model=RandomForestClassifier(20), **TRAINED, **ALONE)
    area, accuracies = expected(target, x, TABLE.outcome)
    assert result.auc("loss").value == pytest.approx(area, abs=1e-3)
    assert facts(result) == pytest.approx(accuracies)
    assert "target-encoding" not in codes(result)
    assert codes(result)["frame-rows"].startswith("the target and the shadow models are given the table's own rows")
    pipeline = make_pipeline(columns(["age"], ["sex"]), LogisticRegression()).fit(FRAME.iloc[ROWS], TABLE.outcome[ROWS])
    both = mw.audit(
        data=TABLE, label="outcome", target=pipeline, model=LogisticRegression(max_iter=500), **TRAINED, **ALONE
    )
    assert "numbers encoded here" in codes(both)["frame-rows"], "a regression cannot take texts, and this is told"


@pytest.mark.slow
def test_a_target_fitted_on_a_numeric_tables_values() -> None:
    table = FRAME[["age", "bmi"]].assign(outcome=ILL)
    target = RandomForestClassifier(20, random_state=0).fit(NUMBERS[ROWS], ILL[ROWS])
    result = mw.audit(data=table, label="outcome", target=target, model=RandomForestClassifier(20), **TRAINED, **ALONE)
    assert facts(result) == pytest.approx(expected(target, NUMBERS, ILL)[1])


def test_columns_that_the_table_does_not_have_are_named() -> None:
    dummies = pd.get_dummies(FRAME)
    target = RandomForestClassifier(5).fit(dummies.iloc[ROWS], ILL[ROWS])
    with pytest.raises(TargetError, match=r"(?s)columns that the table does not have.*no sex_f, sex_m, ward_a"):
        mw.audit(data=TABLE, label="outcome", target=target, model=RandomForestClassifier(5), **TRAINED, **ALONE)


def columns(numbers: Any, texts: Any) -> ColumnTransformer:
    return ColumnTransformer([("n", StandardScaler(), numbers), ("t", OneHotEncoder(handle_unknown="ignore"), texts)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(columns(["age", "bmi"], ["sex", "ward"]), LogisticRegression()),
        make_pipeline(
            columns(make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")),
            LogisticRegression(),
        ),
    ],
    ids=["names", "selector"],
)
def test_a_pipeline_is_trained_on_rows(model: Any) -> None:
    """Just as it would be by hand: the target's accuracies are those of the pipeline fitted on the members."""
    members, others = np.arange(0, 200, 2), np.arange(1, 200, 2)
    result = mw.audit(data=TABLE, label="outcome", model=model, members=members, nonmembers=others, **ALONE)
    fitted = model.fit(FRAME.iloc[members], TABLE.outcome[members])
    wanted = [fitted.score(FRAME.iloc[rows], TABLE.outcome[rows]) for rows in (members, others)]
    assert facts(result) == pytest.approx(wanted)
    assert "own rows" in codes(result)["frame-rows"]


@pytest.mark.slow
def test_a_text_column_in_every_way() -> None:
    texts = [f"patient {i} has " + " ".join(RNG.choice(["pain", "fever", "cough"], 3)) for i in range(N)]
    together = ColumnTransformer([("words", TfidfVectorizer(), "note"), ("n", StandardScaler(), ["age"])])
    for model, table in (
        (make_pipeline(together, LogisticRegression()), TABLE[["age", "outcome"]].assign(note=texts)),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), TABLE[["outcome"]].assign(note=texts)),
    ):
        result = mw.audit(data=table, label="outcome", model=model, members=100, nonmembers=100, **ALONE)
        assert facts(result)[0] > 0.6
        assert {"frame-rows"} <= set(codes(result))
        assert "duplicates" not in codes(result), "no two of these texts are the same"


@pytest.mark.slow
def test_categories_reach_worker_processes_as_they_are() -> None:
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=["sex", "ward"])
    table = TABLE.assign(sex=TABLE.sex.astype("category"))
    runs = [
        mw.audit(
            data=table,
            label="outcome",
            model=model,
            members=100,
            nonmembers=100,
            **ALONE | {"settings": {"plan.threads": threads}, "attacks": ["lira-online-fixed"], "shadow_models": 4},
        )
        for threads in (1, 2)
    ]
    assert "own rows" in codes(runs[0])["frame-rows"]
    assert runs[0].scores.equals(runs[1].scores)


@pytest.mark.slow
def test_missing_values_stay_for_models_that_take_them() -> None:
    x = np.where(RNG.random(NUMBERS.shape) < 0.1, np.nan, NUMBERS)
    gaps = pd.DataFrame(x, columns=["age", "bmi"]).assign(sex=FRAME.sex, outcome=ILL)
    imputed = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    for model in (HistGradientBoostingClassifier(max_iter=5), imputed, RandomForestClassifier(5)):
        for data in ((x, ILL), gaps):
            result = mw.audit(data=data, label="outcome" if data is gaps else None, model=model, members=100, **ALONE)
            assert facts(result)[0] > 0.5
    for data, place in (((x, ILL), "row"), (gaps, "column age")):
        label = "outcome" if data is gaps else None
        with pytest.raises(DataError, match=rf"(?s)(NaN|missing).*{place}.*HistGradientBoosting"):
            mw.audit(data=data, label=label, model=LogisticRegression(), members=100, **ALONE)
        with pytest.raises(DataError, match=r"NaN|missing"):
            mw.audit(data=data, label=label, members=100, **ALONE)


@pytest.mark.slow
def test_margins_are_scores() -> None:
    result = mw.audit(model=LinearSVC(), data=(NUMBERS, ILL), members=100, nonmembers=100, **ALONE)
    assert result.to_dict()["headline"] == "loss"
    assert "margins" in codes(result)
    assert 0.3 < result.auc("loss").value < 0.9


def test_a_regressor_is_refused_for_model_and_target() -> None:
    with pytest.raises(StudyError, match="RandomForestRegressor is no classifier"):
        mw.audit(model=RandomForestRegressor(5), data=(NUMBERS, ILL), members=100, **ALONE)
    fitted = RandomForestRegressor(5).fit(NUMBERS[ROWS], ILL[ROWS])
    with pytest.raises(StudyError, match="RandomForestRegressor is no classifier"):
        mw.audit(target=fitted, model=RandomForestClassifier(5), data=(NUMBERS, ILL), **TRAINED, **ALONE)


@pytest.mark.slow
@pytest.mark.parametrize("values", [[0, 1], ["B", "M"]])
def test_a_skops_file_is_the_object(values: list[Any], tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    y = np.array(values)[ILL]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    target = model.fit(FRAME[["age", "bmi"]].iloc[ROWS], y[ROWS])
    skops.dump(target, tmp_path / "target.skops")
    table = FRAME[["bmi", "age"]].assign(outcome=y)
    figures = [
        mw.audit(data=table, label="outcome", target=each, model=model, **TRAINED, **ALONE)
        for each in (target, tmp_path / "target.skops")
    ]
    assert figures[0].scores.equals(figures[1].scores)
    assert facts(figures[1])[0] == target.score(table[["age", "bmi"]].iloc[ROWS], y[ROWS])


@pytest.mark.slow
def test_a_forest_as_onnx_gives_the_objects_figures(tmp_path: Path) -> None:
    """Its zeros are the same zeros, though single precision may have rounded them."""
    to_onnx = pytest.importorskip("skl2onnx").to_onnx
    x = NUMBERS.astype(np.float32)
    target = RandomForestClassifier(20, random_state=0).fit(x[ROWS], ILL[ROWS])
    file = tmp_path / "forest.onnx"
    file.write_bytes(
        to_onnx(target, x[:1], options={id(target): {"zipmap": False}}, target_opset=17).SerializeToString()
    )
    attacks = ["loss", "lira-online", "lira-online-fixed", "rmia-online", "learned"]
    done = [
        mw.audit(
            data=(x, ILL),
            target=each,
            model=RandomForestClassifier(20),
            **TRAINED,
            **ALONE | {"shadow_models": 8, "attacks": attacks},
        )
        for each in (target, file)
    ]
    for attack in attacks:
        assert done[0].auc(attack).value == pytest.approx(done[1].auc(attack).value, abs=1e-4), attack
    assert done[0].to_dict()["target"]["test_loss"] == pytest.approx(done[1].to_dict()["target"]["test_loss"], rel=1e-5)
    assert "0.05" in codes(done[1])["answers-in-steps"]


@pytest.mark.slow
def test_steps_and_rows_are_the_same_when_a_run_is_continued(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "data": TABLE,
        "label": "outcome",
        "model": RandomForestClassifier(5),
        "members": 100,
        **ALONE,
    }
    first = mw.audit(**given, out=tmp_path / "run")
    again = mw.audit(**given, out=tmp_path / "run")
    assert again.scores.equals(first.scores)
    assert codes(again)["answers-in-steps"] == codes(first)["answers-in-steps"]
    assert again.to_dict()["target"] == first.to_dict()["target"]
