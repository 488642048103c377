"""LiRA against a per-record loop and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import answers_of, gaussian_table, paired, table
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS
from memberwise.attacks.in_out import Moments
from memberwise.attacks.shrinkage import shrunk_variance, variance_prior


def score(name: Any, signals: Any) -> Any:
    return ATTACKS[name].score(signals, np.random.default_rng(0))


EVERY = [f"lira-{form}{kind}" for form in ("online", "offline") for kind in ("", "-fixed", "-shrunk")]


def loop_oracle(signals: Any, name: Any) -> Any:
    """The conventions, record by record and query by query."""
    online, fixed, shrunk = "online" in name, "fixed" in name, "shrunk" in name
    target, shadows, trained_on = signals.target.phi[0], signals.shadows.phi, signals.trained_on
    records, queries = target.shape
    result = np.full(records, np.nan)

    def fit(i: Any, q: Any, side: Any) -> tuple[Any, Any]:
        values = shadows[trained_on[:, i] == side, i, q]
        residuals, degrees, groups = 0.0, 0, []
        for other in range(records):
            group = shadows[trained_on[:, other] == side, other, q]
            if len(group) >= 2:
                residuals += ((group - group.mean()) ** 2).sum()
                degrees += len(group) - 1
                groups.append(group)
        pooled = np.sqrt(residuals / degrees)
        if shrunk:
            chance = 2 * len(groups) / degrees
            apart = sum((len(g) - 1) * (g.var(ddof=1) / pooled**2 - 1) ** 2 for g in groups) / degrees
            worth = 2 + 2 / max((apart - chance) / (1 + chance), 2e-6)
            own = ((values - values.mean()) ** 2).sum()
            return values.mean(), np.sqrt((worth * pooled**2 + own) / (worth + len(values) - 1))
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


@pytest.mark.parametrize("name", EVERY)
def test_equals_a_loop_over_records_with_uneven_sides(name: Any) -> None:
    rng = np.random.default_rng(1)
    signals, _ = gaussian_table(rng, 40, 12, gap=1.0, sd_in=0.5, sd_out=2.0, queries=3)
    trained_on = rng.choice([-1, 0, 1], size=(12, 40), p=[0.4, 0.3, 0.3]).astype(np.int8)
    trained_on[:, 0], trained_on[:, 1] = 0, 1  # a record without IN models, one without OUT models
    phi = signals.shadows.phi
    phi[:, 2] = 3.0  # shadow models agree: the floor of the spread decides
    signals = replace(signals, trained_on=trained_on, shadows=answers_of(phi))
    expected = loop_oracle(signals, name)
    assert {1, 2, 3} & set((trained_on == 1).sum(0)), "some records should fall back to the pooled spread"
    np.testing.assert_allclose(score(name, signals), expected, rtol=1e-6)
    assert np.isnan(expected[1])
    assert np.isnan(expected[0]) == ("online" in name)


@pytest.mark.parametrize("name", EVERY)
def test_auc_is_that_of_two_gaussians(name: Any) -> None:
    signals, member = gaussian_table(np.random.default_rng(2), 4000, 256, gap=1.5)
    assert roc_auc_score(member, score(name, signals)) == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.015)


@pytest.mark.parametrize("name", ["lira-online", "lira-online-fixed", "lira-online-shrunk"])
@pytest.mark.parametrize(("sd_in", "sd_out"), [(0.5, 2.0), (2.0, 0.5)])
def test_in_and_out_have_their_own_spreads(name: str, sd_in: float, sd_out: float) -> None:
    """Equal means: P(|in| < |out|) = 2/pi arctan(sd_out/sd_in) is the AUC; swapped spreads give 1 - AUC."""
    signals, member = gaussian_table(np.random.default_rng(3), 4000, 128, sd_in=sd_in, sd_out=sd_out)
    expected = 2 / np.pi * np.arctan(max(sd_in, sd_out) / min(sd_in, sd_out))
    assert roc_auc_score(member, score(name, signals)) == pytest.approx(expected, abs=0.02)


def test_offline_is_one_sided() -> None:
    """An unusually low answer is no sign of membership."""
    phi = np.array([-5.0, -1.0, 0.0, 1.0, 5.0])
    shadows = np.random.default_rng(0).normal(size=(20, 1, 1)).repeat(5, 1)
    signals = table(answers_of(phi[None, :, None]), answers_of(shadows), np.zeros((20, 5), np.int8))
    for name in EVERY[3:]:
        assert (np.diff(score(name, signals)) > 0).all()
        assert np.isfinite(score(name, signals)).all()


@pytest.mark.parametrize("name", EVERY)
def test_copies_of_a_query_change_nothing(name: Any) -> None:
    signals, _ = gaussian_table(np.random.default_rng(4), 50, 8, gap=1.0)
    copies = replace(
        signals,
        target=answers_of(signals.target.phi.repeat(3, 2)),
        shadows=answers_of(signals.shadows.phi.repeat(3, 2)),
    )
    np.testing.assert_allclose(score(name, copies), score(name, signals), rtol=1e-6, atol=1e-7)


def test_many_blocks_of_records_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, _ = gaussian_table(np.random.default_rng(5), 97, 8, gap=1.0)
    whole = score("lira-online", signals)
    monkeypatch.setattr("memberwise.attacks.in_out.CHUNK_VALUES", 8 * 10)
    np.testing.assert_array_equal(score("lira-online", replace(signals)), whole)  # a table that has computed nothing


def test_shadow_models_that_all_agree_give_finite_scores() -> None:
    phi = np.linspace(-3, 3, 10)[None, :, None]
    trained_on = paired(8, 10, np.random.default_rng(0))
    signals = table(answers_of(phi + 1), answers_of(phi.repeat(8, 0)), trained_on)
    for name in EVERY:
        assert np.isfinite(score(name, signals)).all()


@pytest.mark.slow
def test_mean_estimation_gives_the_exact_likelihood_ratio() -> None:
    """A "model" is the mean of half of 40 numbers, its answer about a number their product.

    Given the others, the mean of a random half is Gaussian to good precision, with moments known exactly whether the
    number is in the half or not: the likelihood ratio has a closed form.
    """
    rng = np.random.default_rng(6)
    records, half = 40, 20
    x = rng.normal(size=records)
    trained_on = paired(4000, records, rng)
    halves = np.concatenate([paired(80, records, rng)[::2], trained_on])
    means = (halves * x).sum(1) / half
    phi = (means[:, None] * x)[..., None]
    exact, found = [], []
    others = np.array([np.delete(x, i) for i in range(records)])
    centre, spread = others.mean(1), others.var(1, ddof=1)
    in_moments = norm(
        (x + (half - 1) * centre) / half, np.sqrt((half - 1) * spread * (1 - (half - 1) / (records - 1))) / half
    )
    out_moments = norm(centre, np.sqrt(spread / half * (1 - half / (records - 1))))
    for k in range(40):
        signals = table(answers_of(phi[k : k + 1]), answers_of(phi[40:]), trained_on)
        found.append(score("lira-online", signals))
        exact.append(in_moments.logpdf(means[k]) - out_moments.logpdf(means[k]))
    member, exact, found = halves[:40].astype(bool), np.array(exact), np.array(found)  # type: ignore[assignment]
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.99  # type: ignore[attr-defined]
    best = roc_auc_score(member.ravel(), exact.ravel())  # type: ignore[attr-defined]
    assert best > 0.57
    assert roc_auc_score(member.ravel(), found.ravel()) == pytest.approx(best, abs=0.005)  # type: ignore[attr-defined]


@pytest.mark.parametrize("alpha", [3.0, 6.0, np.inf])
def test_the_prior_finds_how_much_spreads_differ(alpha: Any) -> None:
    rng = np.random.default_rng(7)
    variances = np.ones(40_000) if np.isinf(alpha) else (alpha - 1) / rng.gamma(alpha, size=40_000)
    count = rng.integers(2, 12, 40_000)
    squares = variances * rng.chisquare(count - 1)
    found = variance_prior(Moments(count[:, None].astype(float), np.zeros((40_000, 1)), squares[:, None]))
    assert found.variance == pytest.approx(1.0, rel=0.03)  # type: ignore[union-attr]
    worth = float(found.degrees[0])  # type: ignore[union-attr]
    assert worth > 100 if np.isinf(alpha) else worth == pytest.approx(2 * (alpha - 1), rel=0.3)
    shrunk = shrunk_variance(Moments(count[:, None].astype(float), np.zeros((40_000, 1)), squares[:, None]), found)[  # type: ignore[arg-type]
        :, 0
    ]
    own, error = squares / (count - 1), lambda guess: np.mean((guess - variances) ** 2)
    assert error(shrunk) < min(error(own), error(np.ones(40_000)) + 1e-3)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("models", [16, 48])
def test_shrunk_spreads_match_better_of_own_and_pooled(models: int) -> None:
    """Records whose spreads differ: mean AUC over 6 tables; pooled spreads win with 16 models, own ones with 48."""
    found = {kind: [] for kind in ("", "-fixed", "-shrunk")}  # type: ignore[var-annotated]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        signals, member = gaussian_table(rng, 2000, models, gap=1.0)
        spread = np.exp(0.7 * rng.normal(size=2000))[:, None]
        wider = replace(
            signals, target=answers_of(signals.target.phi * spread), shadows=answers_of(signals.shadows.phi * spread)
        )
        for kind, aucs in found.items():
            aucs.append(roc_auc_score(member, score(f"lira-online{kind}", wider)))
    own, fixed, shrunk = (np.mean(aucs) for aucs in found.values())
    assert (own > fixed) == (models == 48)
    assert shrunk > max(own, fixed) - 0.005
    assert shrunk > min(own, fixed) + 0.005
