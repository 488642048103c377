"""Warnings about how far the figures carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memberwise.assess.figures import AttackFigures
from memberwise.attacks.cascade import ATTACK, FIRST
from memberwise.attacks.learned.attack import uncalibrated
from memberwise.errors import Note
from memberwise.signals.table import Signals
from memberwise.statistics import CLEAR_AUC, auc, clear_rate
from memberwise.study.schema import Study
from memberwise.types.arrays import Mask

# Warnings under which no gate passes: the figures are not about the model that they seem to be about.
WITHHOLDING = frozenset(
    {
        "mismatch-strong",
        "target-contradicts",
    }
)
# Models on a side below which a record's own mean and spread are poor.
FEW_ON_A_SIDE = 4
# Confidence with which the numbers of models must tell members from non-members before it is said.
SURE = 0.999


def notes(
    signals: Signals,
    member: Mask,
    evaluated: Mask,
    attacks: Sequence[AttackFigures],
    headline: str,
) -> list[Note]:
    """All warnings that the table of signals and the figures give cause for.

    ``member``, ``evaluated``: ``(n,)``, the truth, and which records the figures are about.
    """
    main = next(attack for attack in attacks if attack.name == headline)
    nonmembers = int((~member & evaluated).sum())
    return [
        *_headline(attacks, main),
        *_coarse(main, nonmembers),
        *_not_scored(attacks, int(evaluated.sum())),
        *_undecided(main),
        *_shadow_models(signals),
        *_sides(signals, member, evaluated),
        *_saturated(signals),
        *_uncalibrated(attacks, signals),
    ]


def stronger_note(names: Sequence[str], family: Sequence[str], headline: str) -> list[Note]:
    """A warning where other attacks (``names``) are clearly stronger than the headline."""
    if not names:
        return []
    judged = ", ".join(family)
    return [
        Note(
            "stronger-attack",
            f"{', '.join(names)}: clearly stronger here than the headline {headline}. Rules without a name are about "
            f"{judged}; a rule may name its attack (ATTACK:auc>0.6)",
        )
    ]


def cascade_note(study: Study, decision: str | None, names: Sequence[str], skipped: Sequence[str]) -> list[Note]:
    """A warning where rules about the family are kept, and a cascade could have been run and was not.

    Args:
        decision: the family's. names: its attacks that ran. skipped: which could not: without ``learned`` no cascade
            begins.
    """
    possible = study.outputs.file is None and study.shadow.data == "halves" and FIRST.name not in skipped
    if decision != "passed" or ATTACK.name in names or study.shadow.cascade or not possible:
        return []
    how = "--cascade 16" if study.shadow.budget is None else "--shadow-models 16 --cascade 16 in place of --budget"
    return [
        Note(
            "passed-without-cascade",
            "passed by the attacks that ran; the cascade, which trains further shadow models on what these found out "
            f"about the target, is stronger on most data: {how}",
        )
    ]


def upside_down(attacks: Sequence[AttackFigures]) -> list[str]:
    """Attacks whose AUC lies below one half with its whole interval."""
    return [a.name for a in attacks if a.auc is not None and a.auc.high is not None and a.auc.high < 0.5]


def _headline(attacks: Sequence[AttackFigures], main: AttackFigures) -> list[Note]:
    notes: list[Note] = []
    name = main.name
    if name in upside_down(attacks):
        notes.append(
            Note(
                "worse-than-guessing",
                f"the headline {name} is surely worse than guessing: are members and non-members swapped?",
            )
        )
    return notes


def _coarse(main: AttackFigures, nonmembers: int) -> list[Note]:
    coarse = [f"{100 * row.fpr:.6g}%" for row in main.tpr_at_fpr if row.resolvable != "yes"]
    if not coarse:
        return []
    return [
        Note(
            "few-nonmembers",
            f"{nonmembers:,} non-members are too few to judge a false-positive rate of {', '.join(coarse)}: "
            "fewer than 10 false positives are expected there",
        )
    ]


def _undecided(main: AttackFigures) -> list[Note]:
    """Intervals that reach from guessing to a clear leak."""
    area = main.auc
    wide = []
    if area is not None and (area.low or 0) <= 0.5 and (area.high or 1) >= CLEAR_AUC:
        wide.append(f"AUC {area.low:.3g} to {area.high:.3g}")
    for row in main.tpr_at_fpr:
        if row.low is None or row.high is None or row.resolvable != "yes":
            continue
        if row.low <= row.fpr and row.high >= clear_rate(row.fpr):
            wide.append(f"TPR at {100 * row.fpr:.6g}% FPR {100 * row.low:.3g} to {100 * row.high:.3g}%")
    if not wide:
        return []
    figures = "; ".join(wide)
    return [
        Note(
            "undecided",
            f"intervals of the headline reach from guessing to a clear leak ({figures}): these records cannot tell "
            "which it is; four times as many halve an interval",
        )
    ]


def _not_scored(attacks: Sequence[AttackFigures], total: int) -> list[Note]:
    """A warning for every number of records without a score, with the attacks that share it."""
    without: dict[int, list[str]] = {}
    for attack in attacks:
        scored = 0 if attack.auc is None else attack.auc.n_members + attack.auc.n_nonmembers
        without.setdefault(total - scored, []).append(attack.name)
    return [
        Note(
            "records-not-scored",
            f"{count:,} of {total:,} records could not be scored by {', '.join(names)}: they need shadow "
            "models that trained on a record, or that did not, and have none there, or (label-only-boundary) ask about "
            "attacks.boundary_records records only; their figures are about the others",
        )
        for count, names in without.items()
        if count
    ]


def _shadow_models(signals: Signals) -> list[Note]:
    if signals.shadows is None or not 0 < signals.shadows.models < 8:
        return []
    return [
        Note("few-shadow-models", f"{signals.shadows.models} shadow models make a weak attacker: 16 to 64 are usual")
    ]


def _sides(signals: Signals, member: Mask, evaluated: Mask) -> list[Note]:
    """Numbers of models with and without each record that are too small, or that give the answer away."""
    if signals.shadows is None:
        return []
    counts = {"IN": signals.is_in.sum(0)[evaluated], "OUT": signals.is_out.sum(0)[evaluated]}
    truth, notes = member[evaluated], []
    few = np.any([(count > 0) & (count < FEW_ON_A_SIDE) for count in counts.values()], axis=0)
    if signals.shadows.models >= 2 * FEW_ON_A_SIDE and few.any():
        notes.append(
            Note(
                "few-models-on-a-side",
                f"{few.sum():,} of {len(few):,} records have fewer than {FEW_ON_A_SIDE} shadow models that trained on "
                "them, or that did not: attacks which compare the two are weak there",
            )
        )
    scored = (counts["IN"] > 0) & (counts["OUT"] > 0)
    for side, count in counts.items():
        if not (truth & scored).any() or not (~truth & scored).any() or len(set(count[scored])) == 1:
            continue
        area = auc(count[scored], truth[scored], SURE)
        if area.low is not None and area.high is not None and not area.low <= 0.5 <= area.high:
            notes.append(
                Note(
                    "counts-tell-members",
                    f"members have {count[scored & truth].mean():.2f} {side} models in the mean and non-members "
                    f"{count[scored & ~truth].mean():.2f}: the numbers alone tell who is a member, so attacks which "
                    "compare IN with OUT are biased. So it is where the target is one of models that share each record "
                    "out evenly: leave its complement out, or give shadow models of their own",
                )
            )
    return notes


def _saturated(signals: Signals) -> list[Note]:
    return [
        Note(
            "saturated-answers",
            f"{answers.saturated:.1%} of the answers of {who} are 0 or 1 for the true class and were clipped "
            "before the logarithm: they tie, and attacks on them look weaker than on logits",
        )
        for who, answers in (("the target", signals.target), ("the shadow models", signals.shadows))
        if answers is not None and answers.saturated > 0.01
    ]


# A shadow model is far from the target beyond this difference in accuracy, or three standard deviations of shadows'.
ACCURACY_GAP = 0.03


# Shadow models so far from the middle one are unlike it; judged from so many models on.
FAR_APART, FEWEST_ROBUST = 0.1, 8


def accuracy_notes(target: tuple[float, float], train: np.ndarray, test: np.ndarray) -> list[Note]:
    """A warning, with both figures, where shadow models are not like the target.

    Args:
        target: its accuracies on training and other records. train, test: ``(m,)`` those of the shadow models.
    """
    notes: list[Note] = []
    for what, accuracy, shadows in (("train", target[0], train), ("test", target[1], test)):
        middle = float(np.median(shadows))
        # A few that failed would widen an ordinary deviation until nothing looks unusual.
        robust = 1.4826 * float(np.median(np.abs(shadows - middle)))
        spread = robust if len(shadows) >= FEWEST_ROBUST else float(shadows.std())
        apart = np.flatnonzero(np.abs(shadows - middle) > max(FAR_APART, 5 * robust))
        if len(shadows) >= FEWEST_ROBUST and len(apart):
            notes.append(
                Note(
                    "shadow-apart",
                    f"{len(apart)} of {len(shadows)} shadow models are unlike the others: {what} accuracy "
                    f"{shadows[apart].min():.3f} to {shadows[apart].max():.3f}, in the middle {middle:.3f}; attacks "
                    "that rest on them are weaker than they could be (a training that sometimes fails?)",
                )
            )
        if abs(accuracy - middle) > max(ACCURACY_GAP, 3 * spread):
            notes.append(
                Note(
                    "shadow-accuracy",
                    f"the target's {what} accuracy is {accuracy:.3f}, the shadow models' {shadows.mean():.3f} "
                    f"(standard deviation {shadows.std():.3f}): they are not like the target, so the attacks that "
                    "rest on them are weaker than they could be; check the recipe (training.*, model.*), or, with "
                    "saved answers, that both files hold the same records in the same order",
                )
            )
    return notes


def _uncalibrated(attacks: Sequence[AttackFigures], signals: Signals) -> list[Note]:
    names = [attack.name for attack in attacks if attack.calibrated is False]
    if not names:
        return []
    return [
        Note(
            "uncalibrated",
            f"scores of {' and '.join(names)} order records, but are no probabilities here: {uncalibrated(signals)}",
        )
    ]
