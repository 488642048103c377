"""BASE on the target's own scale: its answers brought to the temperature at which they spread as shadow models' do."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.in_out import log_mean_both, record_blocks, shadows_of
from memberwise.signals.once import once_a_table
from memberwise.signals.streamed import of_block
from memberwise.signals.table import Answers, Signals
from memberwise.signals.temperature import FEWEST_POPULATION, MATCHED, RAW, interpolated_phi, matched_temperature
from memberwise.types.arrays import Floats


def base_matched(signals: Signals, rng: np.random.Generator) -> Floats:
    """Sum of BASE at temperature 2 on the matched scale and of BASE at 2.8 as answered, averaged over queries.

    Each is log p_y(target) - log of the mean of the IN models' and of the OUT models' mean p_y (Lassila et al. 2025).
    On the matched scale the target's p_y is read at 2 t, t its ``target_temperature``, the shadow models' at 2: a
    target trained longer or shorter than these, or served at another temperature, compares with them still. The
    answers as they are keep what such a scale takes away. HIGHER = MORE LIKELY A MEMBER; more shadow models make it
    stronger, and two do. ``(n,)``; records without a model on both sides: NaN.

    Source: this project (docs/learned.md), from BASE.
    """
    return matched_ratio(signals) + raw_ratio(signals)


def matched_ratio(signals: Signals) -> Floats:
    """``(n,)``: BASE at temperature 2 with the target on the matched scale.

    Multiplying all of the target's logits by a number changes nothing here.
    """
    temperature = MATCHED * target_temperature(signals)
    phi = interpolated_phi(phis(signals.target), None, temperature)[0]
    return np.asarray((-np.logaddexp(0.0, -phi) - log_mean_both(signals, MATCHED)).mean(-1))


def raw_ratio(signals: Signals) -> Floats:
    """``(n,)``: BASE at temperature 2.8, of the answers as they are."""
    return np.asarray((signals.target.log_p_at(RAW)[0] - log_mean_both(signals, RAW)).mean(-1))


@once_a_table
def target_temperature(signals: Signals) -> float:
    """t, at which the target's phi spreads over population records as the shadow models' does at 1, on the mean.

    Above 1 where the target is surer of its answers than the shadow models are. Needs population records.
    """
    world, seen = shadows_of(signals.population_shadows), signals.population_trained_on
    unseen = np.ones(world.log_p.shape[:2], bool) if seen is None else seen == 0
    count = unseen.sum(1) * world.queries
    sums, squares = np.zeros(world.models), np.zeros(world.models)
    centre = np.zeros(world.models)
    for power in (sums, squares):  # two passes: a mean, then deviations from it
        for part in record_blocks(world):
            phi = of_block(world.log_p, part).astype(np.float64) - of_block(world.log_1mp, part) - centre[:, None, None]
            values = phi if power is sums else phi**2
            power += values.sum((1, 2), where=unseen[:, part, None])
        if power is sums:
            centre = sums / np.maximum(count, 1)
    spread = np.sqrt(squares[count > 0] / count[count > 0]).mean()
    if signals.population_target is None or not spread > 0:
        return 1.0
    kept = phis(signals.population_target)
    return matched_temperature(lambda temperature: interpolated_phi(kept, None, temperature), float(spread))


def phis(answers: Answers) -> dict[float, Floats]:
    """``(m, n, q)`` phi by temperature, at all that are kept and at 1."""
    return {temperature: answers.phi_at(temperature) for temperature in (1.0, *answers.tempered)}


ATTACK = Attack(
    name="base-matched",
    score=base_matched,
    needs=Needs(shadows="in+out", population=True, temperatures=(MATCHED, RAW), least_population=FEWEST_POPULATION),
    source="this project, docs/learned.md; BASE: Lassila et al. 2025 (arXiv:2505.24089)",
    summary="As base, with the target's answers brought to the shadow models' scale as well as at temperature 2.8.",
)
