"""The verdict on gate rules: whether the data show that a limit is broken, that it is kept, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil

from memberwise.statistics.bounds import Bounds, Measurable, bounds_of
from memberwise.statistics.epsilon import DESCRIPTIVE, EpsilonBound
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.gate import RECIPE, STORED, BrokenBy, GateRule, RuleOutcome, Verdict

# From so many expected false positives on a rate is resolved (tpr.py).
_FALSE_POSITIVES = 10


@dataclass(frozen=True)
class JudgedFigure:
    """One attack's figure under a rule; None where there is none.

    Attributes:
        attack: None for epsilon.
        low, high: one-sided bounds at ``low_error`` and ``high_error``.
        outcome: True: kept; False: broken; None: undecided.
    """

    attack: str | None
    value: float | None
    low: float | None
    high: float | None
    low_error: float | None = None
    high_error: float | None = None
    n_members: int | None = None
    n_nonmembers: int | None = None
    outcome: bool | None = None

    @classmethod
    def of(cls, attack: str, bounds: Bounds | None, outcome: bool | None) -> JudgedFigure:
        """An attack's bounds."""
        if bounds is None:
            return cls(attack, None, None, None, outcome=outcome)
        errors, counts = (bounds.low_error, bounds.high_error), (bounds.n_members, bounds.n_nonmembers)
        return cls(attack, bounds.value, bounds.low, bounds.high, *errors, *counts, outcome)


@dataclass(frozen=True)
class Judged:
    """One rule's outcome.

    Attributes:
        passed: as in ``Verdict``.
        reason: with the figures that decide.
        figures: of each attack the rule is about.
    """

    rule: GateRule
    passed: bool | None
    reason: str
    figures: tuple[JudgedFigure, ...] = ()

    def summary(self) -> RuleOutcome:
        """As ``result.json`` holds it, with the figures above the limit."""
        rule = self.rule
        broken = tuple(
            BrokenBy(metric=rule.metric, fpr=rule.fpr, limit=rule.limit, level=rule.level, **asdict(figure))
            for figure in self.figures
            if figure.outcome is False
        )
        return RuleOutcome(rule.text, self.passed, self.reason, broken)


def judge(
    rules: Sequence[GateRule],
    attacks: Mapping[str, Measurable],
    family: Sequence[str],
    confidence: float = 0.95,
    epsilon: EpsilonBound | None = None,
    recipe: Mapping[str, Measurable] | None = None,
    exposed: Mapping[float, Estimate] | None = None,
    stored: int | None = None,
) -> list[Judged]:
    """Judge each rule.

    A rule without an attack's name is about the whole family. It is *broken* if any attack's one-sided lower bound at
    error (1 - confidence) / k lies above the limit, k attacks in the family: where all are at or below it, that
    happens with probability at most 1 - confidence (Bonferroni; Holm's steps would change no decision about "any").
    It is *kept* only if every attack's one-sided upper bound at error 1 - confidence lies at or below the limit: where
    one is above it, that happens with probability at most 1 - confidence (intersection-union test, Berger 1982).
    A rule with an attack's name is about a family of one. Each rule is judged by itself, at the same confidence.

    Args:
        rules: from :func:`parse_rule`.
        attacks: those that ran, by name.
        family: names of attacks, chosen before the run; those that did not run are left out.
        epsilon: of the audit. A lower bound above the limit fails; one below it decides nothing.
        recipe: attacks of the family over all models in turn, for rules about the recipe.
        exposed: the share of records above each personal risk: broken by its lower end, kept by its upper one.
        stored: training records that lie in the model itself, a count without an interval; None: not known.

    Returns:
        The outcome of each rule, in their order.
    """
    judged = []
    for rule in rules:
        if rule.metric == "epsilon":
            judged.append(_judge_epsilon(rule, epsilon))
        elif rule.metric == "exposed":
            judged.append(_judge_exposed(rule, exposed or {}))
        elif rule.metric == STORED:
            judged.append(_judge_stored(rule, stored))
        elif rule.attack == RECIPE:
            judged.append(_judge(rule, list(recipe or {}), recipe or {}, 1.0 - confidence))
        else:
            names = [name for name in family if name in attacks] if rule.attack is None else [rule.attack]
            judged.append(_judge(rule, names, attacks, 1.0 - confidence))
    return judged


def _judge_stored(rule: GateRule, stored: int | None) -> Judged:
    if stored is None:
        why = "the target is no scikit-learn model whose structure can be looked at"
        return Judged(rule, None, f'Rule "{rule.text}" is undecided: {why}.')
    broken = rule.broken_by(stored)
    text = f"{stored:,} training records lie in the model itself, {rule.side(above=broken)} {rule.limit:g}"
    figure = JudgedFigure(None, float(stored), float(stored), float(stored), outcome=not broken)
    return Judged(rule, not broken, f'Rule "{rule.text}" is {"broken" if broken else "kept"}: {text}.', (figure,))


def verdict_of(judged: Sequence[Judged], withheld: Sequence[str] = ()) -> Verdict:
    """The gate's verdict: any broken rule fails it; else any undecided one leaves it inconclusive.

    Args:
        withheld: codes of the warnings for whose sake rules that would be kept count as undecided.
    """
    if not judged:
        return Verdict(None, None, "No gate was set, so nothing was judged.")
    outcomes = [one.passed for one in judged]
    passed = False if False in outcomes else None if None in outcomes else True
    gate, reason = "; ".join(one.rule.text for one in judged), " ".join(one.reason for one in judged)
    return Verdict(gate, passed, reason, tuple(one.summary() for one in judged), tuple(withheld))


def _judge(rule: GateRule, names: Sequence[str], attacks: Mapping[str, Measurable], error: float) -> Judged:
    k = len(names)
    bounds = {
        name: bounds_of(attacks[name], rule.metric, rule.fpr, low_error=error / k, high_error=error)
        for name in names
        if name in attacks
    }
    outcomes = {name: _outcome(rule, bounds.get(name)) for name in names}
    of = f"{RECIPE}, by " if rule.attack == RECIPE else ""
    figures = tuple(JudgedFigure.of(f"{of}{name}", bounds.get(name), outcomes[name]) for name in names)
    limit = rule.limit_said
    if False in outcomes.values():
        broken = {name: one for name, one in bounds.items() if one and outcomes[name] is False}
        each = [f"{name} {rule.said(one.value)}, at least {rule.said(_known(one.low))}" for name, one in broken.items()]
        shared = f", at an error of {error / k:.2g} each, shared among {k} attacks" if k > 1 else ""
        text = f"{rule.what}: {'; '.join(each)}, {_records(broken)}: {rule.side(above=True)} {limit}{shared}"
        return Judged(rule, False, f"{_capital(text)}. The gate fails.", figures)
    kept = {name: one for name, one in bounds.items() if one and outcomes[name]}
    if len(kept) < k or not k:
        text = " ".join(_undecided(rule, bounds, {name for name in names if name not in kept}))
        lie = "lies" if len(kept) == 1 else "lie"
        more = f" {len(kept)} of {k} attacks {lie} {rule.side(above=False)} it." if kept else ""
        return Judged(rule, None, text + more, figures)
    highest, one = max(kept.items(), key=lambda entry: entry[1].high or 0.0)
    every = f"; that is the highest upper bound of {k} attacks ({', '.join(names)})" if k > 1 else ""
    most, records = rule.said(_known(one.high)), _records({highest: one})
    text = f"{rule.what}: {highest} {rule.said(one.value)}, at most {most}, {records}"
    return Judged(rule, True, f"{_capital(text)}: {rule.side(above=False)} {limit}{every}. This rule is kept.", figures)


def _outcome(rule: GateRule, bounds: Bounds | None) -> bool | None:
    if bounds is None or bounds.low is None or bounds.high is None or not bounds.resolved:
        return None
    return False if rule.broken_by(bounds.low) else None if rule.broken_by(bounds.high) else True


def _undecided(rule: GateRule, bounds: Mapping[str, Bounds | None], names: set[str]) -> list[str]:
    """Why a rule is undecided, a sentence for each kind of reason."""
    absent = sorted(names - set(bounds))
    lacking = [name for name in bounds if name in names and bounds[name] is None]
    bare = {
        name: one for name, one in bounds.items() if name in names and one and (one.low is None or one.high is None)
    }
    few = {name: one for name, one in bounds.items() if name in names and one and not one.resolved}
    across = {name: one for name, one in bounds.items() if name in names and one and name not in bare | few}
    undecided, limit = f'Rule "{rule.text}" is undecided:', rule.limit_said
    sentences = []
    if absent or not names:
        who = f"the attack {', '.join(absent)}" if names else "the recipe" if rule.attack == RECIPE else "the family"
        sentences.append(f"{undecided} {who} gave no figures, it was skipped or not run.")
    if lacking:
        why = "no threshold was chosen, or nobody was called a member"
        sentences.append(f"{undecided} {', '.join(lacking)}: {rule.what} was not computed ({why}).")
    for name, one in bare.items():
        head = f"{undecided} {name}: {rule.what} is {rule.said(one.value)} {_records({name: one})}"
        sentences.append(f"{head}, without an interval ({one.method}); {limit} cannot be judged.")
    if few and rule.fpr is not None:
        needed = ceil(_FALSE_POSITIVES / rule.fpr - 1e-9)
        each = "; ".join(f"{name} {rule.said(one.value)}" for name, one in few.items())
        low_rate = f"so low a false-positive rate needs at least {needed} non-members"
        sentences.append(f"{_capital(rule.what)}: {each}, {_records(few)}. That is undecided: {low_rate}.")
    if across:
        each = "; ".join(
            f"{name} {rule.said(one.value)}, from {rule.said(_known(one.low))} to {rule.said(_known(one.high))}"
            for name, one in across.items()
        )
        cannot = "so these records cannot decide; more would"
        sentences.append(
            f"{_capital(rule.what)}: {each}, {_records(across)}: {limit} lies within these one-sided bounds, {cannot}."
        )
    return sentences


def _known(bound: float | None) -> float:
    """A bound that is there: what has none was judged before."""
    if bound is None:
        raise ValueError("a figure without bounds was judged by them")
    return bound


def _records(bounds: Mapping[str, Bounds]) -> str:
    """How many records figures rest on, the fewest where they differ."""
    members, nonmembers = (min(getattr(one, side) for one in bounds.values()) for side in ("n_members", "n_nonmembers"))
    return f"on {members} members and {nonmembers} non-members"


def _judge_epsilon(rule: GateRule, epsilon: EpsilonBound | None) -> Judged:
    if epsilon is None or epsilon.basis == DESCRIPTIVE:
        return Judged(rule, None, f'Rule "{rule.text}" is undecided: this run gave no bound on epsilon that holds.')
    value = epsilon.value
    text = f"The lower bound on epsilon is {value:.4g} ({epsilon.basis})"
    if rule.broken_by(value):
        reason = f"{text}: {rule.side(above=True)} the limit of {rule.limit:g}, so the gate fails."
        return Judged(rule, False, reason, (JudgedFigure(None, value, value, None, outcome=False),))
    no_proof = "no audit can show that epsilon is smaller"
    reason = f"{text}. The limit of {rule.limit:g} is not shown to be crossed; {no_proof}."
    return Judged(rule, None, reason, (JudgedFigure(None, value, value, None),))


def _judge_exposed(rule: GateRule, exposed: Mapping[float, Estimate]) -> Judged:
    share = exposed.get(rule.level or 0.0)
    if share is None or share.low is None or share.high is None:
        why = "needs at least 8 complementary pairs of shadow models, and answers that are not labels"
        return Judged(rule, None, f'Rule "{rule.text}" is undecided: {rule.what} {why}.')
    outcome = False if rule.broken_by(share.low) else None if rule.broken_by(share.high) else True
    figure = JudgedFigure(None, share.value, share.low, share.high, outcome=outcome)
    text = f"{_capital(rule.what)}: {rule.said(share.value)}, from {rule.said(share.low)} to {rule.said(share.high)}"
    limit = rule.limit_said
    if outcome is None:
        return Judged(
            rule, None, f"{text}: {limit} lies within these bounds; more shadow models would decide.", (figure,)
        )
    end = "This rule is kept." if outcome else "The gate fails."
    return Judged(rule, outcome, f"{text}: {rule.side(above=not outcome)} {limit}. {end}", (figure,))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
