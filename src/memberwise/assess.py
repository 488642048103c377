"""From the table of signals and the truth to figures: attacks, intervals, the verdict, what the report draws."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.attacks import ATTACKS, Attack, Outcome, choose, run_attacks, shadow_scores
from memberwise.errors import StudyError
from memberwise.report.curves import exposed_curves, roc_curves
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import (
    Evaluation,
    GateRule,
    Threshold,
    Verdict,
    auc,
    auto_fprs,
    best_threshold,
    epsilon_of_records,
    evaluate,
    judge,
    parse_rule,
    search_threshold,
    tpr_at_fpr,
)
from memberwise.study import Study

# The headline, unless the study names one: the first of these that runs.
HEADLINES = ("lira-online-fixed", "loss", "gap")
WORST_RECORDS = 12
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Asking:
    """What a study asks of the signals, checked before anything is trained."""

    attacks: list[Attack]
    rules: list[GateRule]

    @classmethod
    def of(cls, study: Study) -> Asking:
        """Attacks and gate rules of a study, plus those which rules and headline name.

        Raises:
            StudyError: an unknown attack, a malformed rule.
        """
        rules = [parse_rule(text) for text in study.gate.rules]
        named = [rule.attack for rule in rules if rule.attack is not None]
        named += [study.attacks.headline] if study.attacks.headline else []
        for name in named:
            if name not in ATTACKS:
                close = difflib.get_close_matches(name, ATTACKS, n=3)
                raise StudyError(
                    f"there is no attack {name}",
                    where="attacks.headline or gate.rules",
                    fix=f"did you mean {' or '.join(close)}?" if close else "memberwise list attacks shows them",
                )
        wanted = {attack.name for attack in choose(study.attacks.use)} | set(named)
        return cls([attack for name, attack in ATTACKS.items() if name in wanted], rules)

    def fprs(self, study: Study, nonmembers: int) -> list[float]:
        """False-positive rates to report, largest first: the study's (or automatic) and those the gate asks about."""
        asked = study.statistics.fpr
        chosen = auto_fprs(nonmembers) if isinstance(asked, str) else asked
        return sorted({*chosen, *(rule.fpr for rule in self.rules if rule.fpr is not None)}, reverse=True)


@dataclass(frozen=True)
class Assessment:
    """All figures about one table of signals.

    Attributes:
        attacks, skipped, epsilon, records, verdict: as ``result.json`` holds them.
        headline: the attack that the verdict is about.
        scores: ``scores.csv``; curves: ``curves.npz``.
        notes: warnings as (code, message).
    """

    attacks: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    headline: str
    epsilon: dict[str, Any] | None
    records: dict[str, Any]
    verdict: Verdict
    scores: pd.DataFrame
    curves: dict[str, NDArray[Any]]
    notes: list[tuple[str, str]]


def assess(
    signals: Signals,
    member: NDArray[np.bool_],
    study: Study,
    asking: Asking,
    seeds: Seeds,
    class_names: Sequence[str],
    units: NDArray[np.int64] | None = None,
) -> Assessment:
    """Run the attacks, evaluate each against the truth, and judge.

    Args:
        member: ``(n,)`` the truth about the target, in the order of ``signals.index``.
        units: ``(n,)`` whose record each is. One record of each, drawn at random, is evaluated: the intervals are
            about independent records, and one person's are not.
    """
    evaluated = np.ones(len(member), bool) if signals.known is None else np.isnan(signals.known)
    if units is not None:
        evaluated &= one_of_each(units, seeds.rng("one record of each unit"))
    outcomes = run_attacks(signals, asking.attacks, seeds)
    fprs = asking.fprs(study, int((~member & evaluated).sum()))
    confidence = study.statistics.confidence
    found: dict[str, tuple[Outcome, Evaluation]] = {}
    thresholds: dict[str, Threshold] = {}
    skipped = [{"name": o.attack.name, "reason": o.skipped} for o in outcomes if o.skipped is not None]
    halves = seeds.rng("threshold halves").permutation(len(member)) % 2 == 0
    for outcome in outcomes:
        if outcome.scores is None:
            continue
        scores = np.where(evaluated, outcome.scores, np.nan)
        scored = ~np.isnan(scores)
        if not (member & scored).any() or not (~member & scored).any():
            skipped.append({"name": outcome.attack.name, "reason": "scored records of one side only"})
            continue
        threshold = thresholds[outcome.attack.name] = choose_threshold(
            outcome.attack, signals, scores, member, halves, seeds
        )
        found[outcome.attack.name] = (
            outcome,
            evaluate(scores, member, fprs=fprs, confidence=confidence, threshold=threshold),
        )
    headline = choose_headline(study, list(found))
    attacks = [_entry(outcome, evaluation, signals) for outcome, evaluation in found.values()]
    main_scores = np.where(evaluated, _scores(found[headline][0]), np.nan)
    epsilon = None
    if thresholds[headline].chosen_on != "audited (optimistic)":
        epsilon = epsilon_of_records(
            main_scores, member, thresholds[headline], confidence=confidence, delta=study.statistics.delta
        ).to_dict()
    kept = {name: np.where(evaluated, _scores(outcome), np.nan) for name, (outcome, _) in found.items()}
    worst = _worst(main_scores)
    return Assessment(
        attacks=attacks,
        skipped=skipped,
        headline=headline,
        epsilon=epsilon,
        records={
            "worst": [
                {
                    "index": int(signals.index[i]),
                    "label": str(class_names[signals.labels[i]]),
                    "member": bool(member[i]),
                    "score": float(main_scores[i]),
                    "attack": headline,
                }
                for i in worst
            ],
            "per_class": _by_group(main_scores, member, np.asarray(class_names)[signals.labels], fprs[0], confidence),
            "per_group": []
            if signals.groups is None
            else _by_group(main_scores, member, signals.groups, fprs[0], confidence),
        },
        verdict=_judged(asking.rules, attacks, headline),
        scores=_frame(signals, member, evaluated, kept),
        curves=roc_curves(kept, member, confidence) | exposed_curves(signals, worst),
        notes=_notes(signals, member, evaluated, attacks, headline),
    )


def one_of_each(units: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """``(n,)`` mask of one random record of each unit."""
    order = rng.permutation(len(units))
    _, first = np.unique(units[order], return_index=True)
    chosen = np.zeros(len(units), bool)
    chosen[order[first]] = True
    return chosen


def _judged(rules: Sequence[GateRule], attacks: list[dict[str, Any]], headline: str) -> Verdict:
    """The gate's verdict; nothing passes on an attack that is surely worse than guessing."""
    verdict = judge(rules, attacks, headline)
    if verdict.passed and headline in _upside_down(attacks):
        reason = f"{verdict.reason} But {headline} is surely worse than guessing, as if members were the non-members."
        return Verdict(verdict.gate, None, reason)
    return verdict


def _upside_down(attacks: list[dict[str, Any]]) -> list[str]:
    """Attacks whose AUC lies below one half with its whole interval."""
    return [a["name"] for a in attacks if a["auc"]["high"] is not None and a["auc"]["high"] < 0.5]


def choose_threshold(
    attack: Attack, signals: Signals, scores: Scores, member: NDArray[np.bool_], halves: NDArray[np.bool_], seeds: Seeds
) -> Threshold:
    """Where records are called members, and on what that was chosen."""
    if isinstance(attack.threshold, float):
        # On shadow models, too, a threshold that needs no data would be the one between its two scores.
        fixed = attack.threshold_from == "fixed" and signals.shadows is not None
        return Threshold(attack.threshold, "shadows" if fixed else attack.threshold_from, None)
    if attack.threshold == "search":
        return Threshold(search_threshold(scores, member), "audited (optimistic)", None)
    pairs = shadow_scores(signals, attack, seeds)
    pairs = [(s, m) for s, m in pairs if m.any() and not m.all()]
    if pairs:
        return Threshold(best_threshold(pairs), "shadows", None)
    usable = ~np.isnan(scores)
    for side in (halves, ~halves):
        here, there = side & usable, ~side & usable
        if all((part & truth).any() for part in (here, there) for truth in (member, ~member)):
            return Threshold(best_threshold([(scores[here], member[here])]), "half", there)
    return Threshold(best_threshold([(scores[usable], member[usable])]), "audited (optimistic)", None)


def choose_headline(study: Study, ran: Sequence[str]) -> str:
    """The study's headline, else the first of the usual ones that ran.

    Raises:
        StudyError: the study's headline was skipped, or nothing ran.
    """
    wanted = study.attacks.headline
    if wanted is not None and wanted not in ran:
        raise StudyError(f"the headline attack {wanted} could not run", found="ran: " + ", ".join(ran))
    order = [wanted] if wanted is not None else [*HEADLINES, *ran]
    for name in order:
        if name in ran:
            return str(name)
    raise StudyError("no attack could run", fix="--attacks default, or give shadow models")


def _entry(outcome: Outcome, evaluation: Evaluation, signals: Signals) -> dict[str, Any]:
    return {
        "name": outcome.attack.name,
        "needs": outcome.attack.needs.words(),
        "queries": signals.target.queries,
        **evaluation.to_dict(),
        "seconds": round(outcome.seconds, 3),
    }


def _scores(outcome: Outcome) -> Scores:
    if outcome.scores is None:
        raise ValueError(f"{outcome.attack.name} was skipped")
    return outcome.scores


def _worst(scores: Scores) -> NDArray[np.intp]:
    """Positions of the records that look most like members, the worst first."""
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:WORST_RECORDS]
    return order[~np.isnan(scores[order])]


def _by_group(
    scores: Scores, member: NDArray[np.bool_], names: NDArray[Any], fpr: float, confidence: float
) -> list[dict[str, Any]]:
    """The headline's AUC and TPR within each group of records that has both members and non-members."""
    rows = []
    for name in sorted(set(names.tolist()), key=_natural):
        here = (names == name) & ~np.isnan(scores)
        inside = member[here]
        row: dict[str, Any] = {"name": str(name), "n_members": int(inside.sum()), "n_nonmembers": int((~inside).sum())}
        both = bool(inside.any() and not inside.all())
        row["auc"] = auc(scores[here], inside, confidence).to_dict() if both else None
        row["tpr"] = tpr_at_fpr(scores[here], inside, fpr, confidence).to_dict() if both else None
        rows.append(row)
    return rows


def _natural(name: Any) -> tuple[int, float, str]:
    text = str(name)
    return (0, float(text), "") if text.replace(".", "", 1).isdigit() else (1, 0.0, text)


def _frame(
    signals: Signals, member: NDArray[np.bool_], evaluated: NDArray[np.bool_], scores: dict[str, Scores]
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "index": signals.index,
        "label": signals.labels,
        "member": member.astype(np.int8),
        "evaluated": evaluated.astype(np.int8),
    }
    return pd.DataFrame(columns | scores).sort_values("index", kind="stable", ignore_index=True)


def _notes(
    signals: Signals,
    member: NDArray[np.bool_],
    evaluated: NDArray[np.bool_],
    attacks: list[dict[str, Any]],
    headline: str,
) -> list[tuple[str, str]]:
    """Warnings about how far the figures carry."""
    notes = []
    main = next(attack for attack in attacks if attack["name"] == headline)
    coarse = [f"{e['fpr']:g}" for e in main["tpr_at_fpr"] if e["resolvable"] != "yes"]
    nonmembers = int((~member & evaluated).sum())
    stronger = [
        attack["name"]
        for attack in attacks
        if attack["name"] != headline and (attack["auc"]["low"] or 0) > (main["auc"]["high"] or 1)
    ]
    if stronger:
        notes.append(
            (
                "stronger-attack",
                f"{', '.join(stronger)}: clearly stronger here than the headline {headline}, on which the verdict and "
                "rules without a name rest; a rule may name its attack (ATTACK:auc>0.6)",
            )
        )
    if headline in _upside_down(attacks):
        notes.append(
            (
                "worse-than-guessing",
                f"the headline {headline} is surely worse than guessing: are members and non-members swapped?",
            )
        )
    if coarse:
        notes.append(
            (
                "few-nonmembers",
                f"{nonmembers:,} non-members are too few to judge a false-positive rate of {', '.join(coarse)}: "
                "fewer than 10 false positives are expected there",
            )
        )
    notes += _not_scored(attacks, int(evaluated.sum()))
    if signals.shadows is not None and 0 < signals.shadows.models < 8:
        notes.append(
            ("few-shadow-models", f"{signals.shadows.models} shadow models make a weak attacker: 16 to 64 are usual")
        )
    for who, answers in (("the target", signals.target), ("the shadow models", signals.shadows)):
        if answers is not None and answers.saturated > 0.01:
            notes.append(
                (
                    "saturated-answers",
                    f"{answers.saturated:.1%} of the answers of {who} are 0 or 1 for the true class and were clipped "
                    "before the logarithm: they tie, and attacks on them look weaker than on logits",
                )
            )
    return notes


def _not_scored(attacks: list[dict[str, Any]], total: int) -> list[tuple[str, str]]:
    """A warning for every number of records without a score, with the attacks that share it."""
    without: dict[int, list[str]] = {}
    for attack in attacks:
        scored = attack["auc"]["n_members"] + attack["auc"]["n_nonmembers"]
        without.setdefault(total - scored, []).append(attack["name"])
    return [
        (
            "records-not-scored",
            f"{count:,} of {total:,} records could not be scored by {', '.join(names)}: these attacks need shadow "
            "models that trained on a record, or that did not, and have none there; their figures are about the others",
        )
        for count, names in without.items()
        if count
    ]
