"""The study's score of a record: as integrals and formulas have it, and on a tiny audit of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import memberwise as mw
from memberwise.reproduce.tables.leakoscope import binormal_auc, sides, standard_error
from memberwise.statistics.personal import cross_pair_auc


def test_their_score_is_the_area_under_a_binormal_curve() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 2, (20, 3)), rng.normal(0, 1, (20, 3))
    for found, a, b in zip(binormal_auc(inside, outside), inside.T, outside.T, strict=True):
        of_in, of_out = (stats.norm(side.mean(), side.std()) for side in (a, b))
        area, _ = integrate.quad(lambda x, i=of_in, o=of_out: o.pdf(x) * i.sf(x), -30, 30)
        assert found == pytest.approx(area, abs=1e-6)


def test_their_score_never_falls_below_a_half() -> None:
    assert binormal_auc(np.zeros((4, 1)), np.arange(8.0)[4:, None]).tolist() == [0.5]


def test_their_standard_error_is_hanley_and_mcneils() -> None:
    """Near the 0.032 of their example, an area of 0.893 from 51 and 58 cases."""
    area, n = 0.893, 50
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    expected = ((area * (1 - area) + (n - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / n**2) ** 0.5
    assert standard_error(np.array([area]), n)[0] == pytest.approx(expected)
    assert expected == pytest.approx(0.033, abs=0.002)


@pytest.mark.slow
def test_sides_of_an_audit_are_those_its_people_rest_on(tmp_path: Path) -> None:
    settings = {"training.epochs": 3, "model.hidden": [8], "run.device": "cpu"}
    result = mw.audit(
        data="digits", members=60, nonmembers=60, shadow_models=16, attacks=["loss"], settings=settings, out=tmp_path
    )
    inside, outside = sides(result)
    people = result.parts.people
    assert people is not None
    assert inside.shape == outside.shape == (8, 120)
    assert max(cross_pair_auc(inside, outside)) == pytest.approx(max(one.auc for one in people.worst))
