"""LiRA against a per-record loop and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attack_tables import answers_of, gaussian_table, paired, table
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS


def score(name, signals):
    return ATTACKS[name].score(signals, np.random.default_rng(0))


def loop_oracle(signals, online, fixed):
    """The conventions, record by record and query by query."""
    target, shadows, trained_on = signals.target.phi[0], signals.shadows.phi, signals.trained_on
    records, queries = target.shape
    result = np.full(records, np.nan)

    def fit(i, q, side):
        values = shadows[trained_on[:, i] == side, i, q]
        residuals, degrees = 0.0, 0
        for other in range(records):
            group = shadows[trained_on[:, other] == side, other, q]
            if len(group) >= 2:
                residuals += ((group - group.mean()) ** 2).sum()
                degrees += len(group) - 1
        pooled = np.sqrt(residuals / degrees)
        if fixed or len(values) < 4:
            return values.mean(), pooled
        return values.mean(), max(values.std(ddof=1), 0.01 * pooled)

    for i in range(records):
        if not (trained_on[:, i] == 0).any() or (online and not (trained_on[:, i] == 1).any()):
            continue
        terms = []
        for q in range(queries):
            if online:
                terms.append(norm.logpdf(target[i, q], *fit(i, q, 1)) - norm.logpdf(target[i, q], *fit(i, q, 0)))
            else:
                terms.append(norm.logcdf(target[i, q], *fit(i, q, 0)))
        result[i] = np.mean(terms)
    return result


@pytest.mark.parametrize("name", ["lira-online", "lira-online-fixed", "lira-offline", "lira-offline-fixed"])
def test_equals_a_loop_over_records_with_uneven_sides(name):
    rng = np.random.default_rng(1)
    signals, _ = gaussian_table(rng, 40, 12, gap=1.0, sd_in=0.5, sd_out=2.0, queries=3)
    trained_on = rng.choice([-1, 0, 1], size=(12, 40), p=[0.4, 0.3, 0.3]).astype(np.int8)
    trained_on[:, 0], trained_on[:, 1] = 0, 1  # a record without IN models, one without OUT models
    phi = signals.shadows.phi
    phi[:, 2] = 3.0  # shadow models agree: the floor of the spread decides
    signals = replace(signals, trained_on=trained_on, shadows=answers_of(phi))
    expected = loop_oracle(signals, "online" in name, "fixed" in name)
    assert {1, 2, 3} & set((trained_on == 1).sum(0)), "some records should fall back to the pooled spread"
    np.testing.assert_allclose(score(name, signals), expected, rtol=1e-6)
    assert np.isnan(expected[1])
    assert np.isnan(expected[0]) == ("online" in name)


@pytest.mark.parametrize("name", ["lira-online", "lira-online-fixed", "lira-offline", "lira-offline-fixed"])
def test_auc_is_that_of_two_gaussians(name):
    signals, member = gaussian_table(np.random.default_rng(2), 4000, 256, gap=1.5)
    assert roc_auc_score(member, score(name, signals)) == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.015)


@pytest.mark.parametrize("name", ["lira-online", "lira-online-fixed"])
@pytest.mark.parametrize(("sd_in", "sd_out"), [(0.5, 2.0), (2.0, 0.5)])
def test_in_and_out_have_their_own_spreads(name, sd_in, sd_out):
    """Equal means: P(|in| < |out|) = 2/pi arctan(sd_out/sd_in) is the AUC; swapped spreads give 1 - AUC."""
    signals, member = gaussian_table(np.random.default_rng(3), 4000, 128, sd_in=sd_in, sd_out=sd_out)
    expected = 2 / np.pi * np.arctan(max(sd_in, sd_out) / min(sd_in, sd_out))
    assert roc_auc_score(member, score(name, signals)) == pytest.approx(expected, abs=0.02)


def test_offline_is_one_sided():
    """An unusually low answer is no sign of membership."""
    phi = np.array([-5.0, -1.0, 0.0, 1.0, 5.0])
    shadows = np.random.default_rng(0).normal(size=(20, 1, 1)).repeat(5, 1)
    signals = table(answers_of(phi[None, :, None]), answers_of(shadows), np.zeros((20, 5), np.int8))
    for name in ("lira-offline", "lira-offline-fixed"):
        assert (np.diff(score(name, signals)) > 0).all()
        assert np.isfinite(score(name, signals)).all()


@pytest.mark.parametrize("name", ["lira-online", "lira-online-fixed", "lira-offline", "lira-offline-fixed"])
def test_copies_of_a_query_change_nothing(name):
    signals, _ = gaussian_table(np.random.default_rng(4), 50, 8, gap=1.0)
    copies = replace(
        signals,
        target=answers_of(signals.target.phi.repeat(3, 2)),
        shadows=answers_of(signals.shadows.phi.repeat(3, 2)),
    )
    np.testing.assert_allclose(score(name, copies), score(name, signals), rtol=1e-6)


def test_many_blocks_of_records_give_what_one_block_gives(monkeypatch):
    signals, _ = gaussian_table(np.random.default_rng(5), 97, 8, gap=1.0)
    whole = score("lira-online", signals)
    monkeypatch.setattr("memberwise.attacks.sides.CHUNK_VALUES", 8 * 10)
    np.testing.assert_array_equal(score("lira-online", signals), whole)


def test_shadow_models_that_all_agree_give_finite_scores():
    phi = np.linspace(-3, 3, 10)[None, :, None]
    trained_on = paired(8, 10, np.random.default_rng(0))
    signals = table(answers_of(phi + 1), answers_of(phi.repeat(8, 0)), trained_on)
    for name in ("lira-online", "lira-offline"):
        assert np.isfinite(score(name, signals)).all()
