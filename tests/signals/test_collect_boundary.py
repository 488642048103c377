"""The boundary search finds the exact distance to a linear boundary, and asks as often as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from collector_models import LabelsOf, Linear, asked_about, gather_extras

from memberwise.signals.collectors import boundary
from memberwise.signals.collectors.boundary import BoundaryDistances, schedule


def linear_case(rng: Any, records: int = 80, width: int = 12) -> tuple[Any, Any, Any]:
    model = Linear(rng.normal(size=width).astype(np.float32), np.float32(0.3))
    x = rng.uniform(-3, 3, (records, width)).astype(np.float32)
    return model, x, (model.margin(x) > 0).astype(np.int64)


def distances(model: Any, questions: Any) -> tuple[Any, Any]:
    arrays = gather_extras(model, questions)
    return arrays["audited.extra.boundary"][0], arrays["audited.extra.boundary.queries"][0]


def test_a_linear_boundary_is_found_within_5_percent() -> None:
    model, x, y = linear_case(np.random.default_rng(0))
    found, _ = distances(model, asked_about(x, y, BoundaryDistances(1000, 80)))
    exact = np.abs(model.margin(x))
    # The nearest point of the boundary may lie outside the features' range; the search stays inside.
    nearest = x - (model.margin(x) / np.linalg.norm(model.w))[:, None] * model.w
    inside = ((nearest >= x.min(0)) & (nearest <= x.max(0))).all(1)
    assert inside.sum() > 50
    np.testing.assert_allclose(found[inside], exact[inside], rtol=0.05)
    assert (found >= exact * (1 - 1e-4)).all(), "a misclassified point is never nearer than the boundary"


def test_more_queries_come_closer() -> None:
    model, x, y = linear_case(np.random.default_rng(1), width=40)
    few, many = (distances(model, asked_about(x, y, BoundaryDistances(q, 80)))[0].mean() for q in (150, 1500))
    assert many < 0.8 * few


@pytest.mark.parametrize("queries", [100, 137, 1000])
def test_each_record_is_asked_about_exactly_as_often_as_stated(queries: int) -> None:
    model, x, y = linear_case(np.random.default_rng(2), records=10)
    _, counts = distances(model, asked_about(x, y, BoundaryDistances(queries, 10)))
    np.testing.assert_array_equal(counts, queries)
    assert model.questions == 10 * queries
    overhead = 1 + boundary.NEAREST + boundary.RANDOM + boundary.BISECTIONS
    plan = schedule(queries)
    assert overhead + sum(plan) + len(plan) * (boundary.STEPS + boundary.BISECTIONS) == queries


def test_misclassified_records_are_at_distance_0_after_one_query() -> None:
    model, x, y = linear_case(np.random.default_rng(3), records=20)
    y[:5] = 1 - y[:5]
    found, counts = distances(model, asked_about(x, y, BoundaryDistances(100, 20)))
    np.testing.assert_array_equal(found == 0, np.arange(20) < 5)
    np.testing.assert_array_equal(counts[:5], 1)
    np.testing.assert_array_equal(counts[5:], 100)


def test_all_misclassified() -> None:
    model, x, y = linear_case(np.random.default_rng(3), records=6)
    found, counts = distances(model, asked_about(x, 1 - y, BoundaryDistances(100, 6)))
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(counts, 1)


def test_labels_are_all_it_sees() -> None:
    model, x, y = linear_case(np.random.default_rng(4), records=12)
    questions = asked_about(x, y, BoundaryDistances(120, 12))
    np.testing.assert_array_equal(distances(model, questions)[0], distances(LabelsOf(model), questions)[0])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = linear_case(np.random.default_rng(5), records=12)
    questions = asked_about(x, y, BoundaryDistances(150, 12))
    whole, _ = distances(model, questions)
    monkeypatch.setattr(boundary, "CHUNK_VALUES", 1)
    np.testing.assert_allclose(distances(model, questions)[0], whole, rtol=1e-5)


def test_only_a_seeded_sample_is_asked_about() -> None:
    model, x, y = linear_case(np.random.default_rng(6), records=40)
    found, counts = distances(model, asked_about(x, y, BoundaryDistances(100, 15)))
    assert np.isfinite(found).sum() == 15
    np.testing.assert_array_equal(counts > 0, np.isfinite(found))
    again, _ = distances(model, asked_about(x, y, BoundaryDistances(100, 15)))
    np.testing.assert_array_equal(again, found)
    other, _ = distances(model, asked_about(x, y, BoundaryDistances(100, 15), seed=1))
    assert (np.isfinite(other) != np.isfinite(found)).any()


def test_a_model_with_one_answer_gets_the_largest_distance() -> None:
    model, x, _ = linear_case(np.random.default_rng(7), records=10)
    always = Linear(0 * model.w, np.float32(1))
    found, _ = distances(always, asked_about(x, np.ones(10, np.int64), BoundaryDistances(100, 10)))
    np.testing.assert_allclose(found, np.linalg.norm(x.max(0) - x.min(0)), rtol=1e-6)


def test_images_are_asked_as_images() -> None:
    rng = np.random.default_rng(8)
    model = Linear(rng.normal(size=16).astype(np.float32), np.float32(0))
    x = rng.integers(0, 256, (8, 4, 4), np.uint8)
    y = (model.margin(x / np.float32(255)) > 0).astype(np.int64)
    shapes = []
    predict = model.predict
    model.predict = lambda x: (shapes.append(x.shape[1:]), x.min() >= 0, x.max() <= 1) and predict(x)  # type: ignore[func-returns-value, method-assign]
    found, _ = distances(model, asked_about(x, y, BoundaryDistances(300, 8)))
    assert set(shapes) == {(4, 4)}
    assert (found > 0).all()
