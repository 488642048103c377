"""Label-only attacks choose and learn on shadow models what a slow loop would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import full_table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from memberwise.attacks import label_only
from memberwise.attacks.run import queries_of
from memberwise.signals.leave_one_out import as_target


def rng() -> Any:
    return np.random.default_rng(0)


def without_shadows(signals: Any) -> Any:
    return replace(signals, shadows=None, trained_on=signals.trained_on[:0])


def with_extra(answers: Any, **extra: Any) -> Any:
    return replace(answers, extra=answers.extra | extra)


def test_without_shadow_models_the_score_is_the_mean() -> None:
    signals, _ = full_table(np.random.default_rng(1), 50, leak=1.0)
    bare, extra = without_shadows(signals), signals.target.extra
    np.testing.assert_allclose(label_only.augmented(bare, rng()), [np.mean(bits) for bits in extra["augmented"][0]])
    np.testing.assert_allclose(label_only.noised(bare, rng()), extra["noised"][0].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(label_only.boundary(bare, rng()), extra["boundary"][0])


def test_the_regression_is_one_on_all_shadow_models_bits() -> None:
    signals, _ = full_table(np.random.default_rng(2), 300, leak=2.0)
    bits, trained_on = signals.shadows.extra["augmented"], signals.trained_on[:6]
    x, y = bits.reshape(-1, 8).astype(float), trained_on.reshape(-1)
    mean, scale = x.mean(0), x.std(0)
    fitted = LogisticRegression(max_iter=500).fit((x - mean) / scale, y)
    slow = fitted.predict_proba((signals.target.extra["augmented"][0] - mean) / scale)[:, 1]
    np.testing.assert_allclose(label_only.augmented(signals, rng()), slow, atol=1e-3)


def test_the_regression_finds_which_copies_tell() -> None:
    """Seven bits of noise and one that tells: the mean bit is far weaker."""
    signals, member = full_table(np.random.default_rng(3), 600)
    draw = np.random.default_rng(4)

    def mark(answers: Any, inside: Any) -> Any:
        bits = draw.random((*inside.shape, 8)) < 0.5
        bits[..., 3] = inside ^ (draw.random(inside.shape) < 0.1)
        return with_extra(answers, augmented=bits)

    signals = replace(
        signals, target=mark(signals.target, member[None]), shadows=mark(signals.shadows, signals.trained_on[:6] == 1)
    )
    assert roc_auc_score(member, label_only.augmented(signals, rng())) > 0.85
    assert roc_auc_score(member, label_only.augmented(without_shadows(signals), rng())) < 0.75


@pytest.mark.parametrize("best", range(5))
def test_the_strength_of_noise_is_chosen_on_shadow_models(best: Any) -> None:
    signals, member = full_table(np.random.default_rng(5), 400)
    draw = np.random.default_rng(6)

    def mark(answers: Any, inside: Any) -> Any:
        shares = draw.random((*inside.shape, 5)).astype(np.float32)
        shares[..., best] = 0.5 * shares[..., best] + 0.4 * inside
        return with_extra(answers, noised=shares)

    signals = replace(
        signals, target=mark(signals.target, member[None]), shadows=mark(signals.shadows, signals.trained_on[:6] == 1)
    )
    np.testing.assert_array_equal(label_only.noised(signals, rng()), signals.target.extra["noised"][0, :, best])


def test_near_copies_tell_by_firmness_where_models_show_it() -> None:
    """Whoever is a member is answered as often rightly, but more firmly: only what shadow models show can tell."""
    signals, member = full_table(np.random.default_rng(10), 400)
    draw = np.random.default_rng(11)

    def mark(answers: Any, inside: Any) -> Any:
        shares = draw.random((*inside.shape, 3)).astype(np.float32)
        shares[..., 2] += 0.8 * inside
        return with_extra(answers, near=shares)

    signals = replace(
        signals, target=mark(signals.target, member[None]), shadows=mark(signals.shadows, signals.trained_on[:6] == 1)
    )
    assert roc_auc_score(member, label_only.near(signals, rng())) > 0.9
    alone = label_only.near(without_shadows(signals), rng())
    np.testing.assert_array_equal(alone, signals.target.extra["near"][0, :, 1].astype(float))


def test_aucs_are_scikit_learns() -> None:
    signals, _ = full_table(np.random.default_rng(7), 200, leak=1.0)
    [first, *_] = label_only._aucs(signals)
    shares = signals.shadows.extra["noised"][0]
    slow = [roc_auc_score(signals.trained_on[0], column) for column in [*shares.T, shares.astype(float).mean(1)]]
    np.testing.assert_allclose(first, slow)


def test_a_stand_in_that_was_not_asked_cannot_be_attacked() -> None:
    signals, _ = full_table(np.random.default_rng(8), 60)
    for k in range(8):
        stand_in = as_target(signals, k, rng()).signals
        for attack in (*label_only.ATTACKS, label_only.NEAR):
            assert (attack.needs.missing(stand_in) is None) == (k < 6)


def test_queries_are_the_ones_counted() -> None:
    signals, _ = full_table(np.random.default_rng(9), 60)
    assert [queries_of(attack, signals) for attack in label_only.ATTACKS] == [8, 100, 1000]
