"""The first sentences of a result, for the report, the terminal, JUnit and the model card alike.

They look at every figure before they say that anything cannot be told apart from guessing.
"""

from __future__ import annotations

from collections.abc import Sequence

from memberwise.assess.figures import AttackFigures
from memberwise.report import placed, sentence
from memberwise.report.formats import count, number, percent, plain, rate, spoken
from memberwise.report.placed import Placed
from memberwise.report.schema import AuditResult
from memberwise.report.sections.canaries import KINDS
from memberwise.statistics.gate import BrokenBy, GateRule, parse_rule

# So many figures, and attacks above a limit, are named; the page has the rest.
NAMED = 3


def verdict_sentence(result: AuditResult) -> str:
    """The whole verdict: what was found, and what the limit says about it."""
    return f"{lead(result)} {sentence.gate_sentence(result)}"


def lead(result: AuditResult) -> str:
    """What was found, in a few sentences for a reader who has never heard of a ROC curve.

    First the canaries, where there are any, and the headline attack, with an attack that is clearly stronger in the
    first sentence; then what exceeded the limit; then figures above guessing where the headline's are not.
    """
    sentences = [text for text in (_canaries(result), _headline(result)) if text]
    sentences[0] += _stronger(result)
    return " ".join(f"{text}." for text in [*sentences, *_broken(result), *_above(result)])


def canaries_of(result: AuditResult) -> int | None:
    """How many canaries were audited; None where records are audited as they are."""
    if result.canaries is not None:
        return result.canaries.count
    count_asked: int | None = (result.study.get("canaries") or {}).get("count")
    return count_asked


def lead_figure(attack: AttackFigures) -> Placed | None:
    """The figure to speak of: the TPR at the smallest rate that is resolved, unless another shows more than guessing
    and that does not (an attack with one decision has no TPR at small rates)."""
    figures = placed.of_attack(attack)
    row = sentence.leading_rate(attack)
    first = next((one for one in figures if row is not None and one.estimate is row), None)
    if first is not None and first.above:
        return first
    plain_ones = [one for one in figures if one.what != "precision" and "shadow" not in one.what]
    above = [one for one in plain_ones if one.above]
    if above:
        return min(above, key=lambda one: (not one.resolved, one.fpr is None, one.fpr or 0))
    if first is not None and first.mark != "no" and first.estimate.value > 0:
        return first
    whole = sorted((one for one in plain_ones if one.fpr is None), key=lambda one: number(one.estimate.low) is None)
    return next(iter([*whole, *plain_ones]), None)


def _headline(result: AuditResult) -> str:
    attack, name = result.attack(), result.headline
    if attack is None:
        reasons = [skip.reason for skip in result.skipped if skip.name == name]
        return f"The headline attack, {name}, was not run{': ' + reasons[0] if reasons else ''}"
    figure = lead_figure(attack)
    if figure is None:
        return f"The attack {name} gave neither a TPR nor an AUC"
    words = sentence.interval_words(result)
    those = (
        "canaries that the target trained on"
        if canaries_of(result)
        else "members, the records that the target trained on"
    )
    share = spoken(figure.estimate, "share", words)
    if figure.fpr is not None:
        text = f"If {rate(figure.fpr)} of non-members may be wrongly accused, the attack {name} recognises {share} of"
        return f"{text} the {those}; {_beside_guessing(figure, result)}"
    one = (
        "a canary that the target trained on"
        if canaries_of(result)
        else "a member, a record that the target trained on,"
    )
    if figure.what == "AUC":
        text = f"Shown {one} and a non-member, the attack {name} ranks the first higher in {share} of cases"
    else:
        text = f"Asked whether the target trained on a record, the attack {name} is right on {share} of records of both"
        text += " kinds"
    return f"{text}; {_beside_guessing(figure, result)}"


def _canaries(result: AuditResult) -> str | None:
    part = result.canaries
    if part is None:
        return None
    figures = placed.of_canaries(result)
    rates = [one for one in figures if one.fpr is not None]
    best = min(rates, key=lambda one: (not one.above, not one.resolved, one.fpr or 0))
    kind = KINDS.get(part.kind, part.kind)
    words = sentence.interval_words(result)
    return (
        f"Of {count(part.count)} canaries, records {kind} that are made to be remembered, "
        f"{spoken(best.estimate, 'share', words)} are recognised where {rate(best.guess)} of the models that never saw "
        f"one are wrongly accused of it, under {count(part.models)} models in turn; {_beside_guessing(best, result)}"
    )


def _beside_guessing(figure: Placed, result: AuditResult) -> str:
    """What the figure says against guessing, heeding all others."""
    level = rate(figure.guess)
    would = f"guessing would reach {level}"
    if figure.above:
        return would
    if number(figure.estimate.low) is None or figure.mark == "no":
        return f"{would}, and these records are too few to state how sure this figure is"
    if figure.below:
        return f"that is less than guessing would reach, {level}"
    everything = placed.everything(result)
    if figure.open or any(one.open for one in everything if one.of == figure.of and one.resolved):
        return f"that is unresolved: these records cannot tell guessing, which reaches {level}, from a clear leak"
    if sentence.outcome(result) == "failed" or any(one.above for one in everything):
        return f"by itself this shows no more than guessing, which reaches {level}"
    if any(one.open and one.resolved for one in everything if not one.part):
        return f"by itself this shows no more than guessing, which reaches {level}, but other figures are unresolved"
    return f"that cannot be told apart from guessing, which reaches {level}"


def _stronger(result: AuditResult) -> str:
    """The clause about an attack that is clearly stronger than the headline, or nothing."""
    main = result.attack()
    if main is None:
        return ""
    words, figure = sentence.interval_words(result), lead_figure(main)
    for name in stronger_attacks(result):
        other = result.attack(name)
        area = spoken(main.auc, "number", words)
        rows = placed.of_attack(other) if other and figure and figure.fpr is not None else []
        same = [one for one in rows if figure and one.fpr == figure.fpr and one.resolved]
        more = same and figure and (same[0].estimate.value or 0.0) > (figure.estimate.value or 0.0)
        share = f"; it recognises {spoken(same[0].estimate, 'share', words)} at that rate" if more else ""
        return f"; {name} is clearly stronger than the headline {result.headline} here: AUC " + (
            f"{spoken(other.auc if other else None, 'number', words)} against {area}{share}"
        )
    high = None if figure is None or figure.fpr is None else number(figure.estimate.high)
    if figure is None or high is None:
        return ""
    rows = [
        one
        for attack in result.attacks
        for one in placed.of_attack(attack)
        if one.fpr == figure.fpr and one.resolved and (one.estimate.low or 0.0) > high
    ]
    if not rows:
        return ""
    best = max(rows, key=lambda one: one.estimate.low or 0.0)
    return f"; {best.of} is clearly stronger at that rate: {spoken(best.estimate, 'share', words)}"


def stronger_attacks(result: AuditResult) -> list[str]:
    """Attacks that are clearly stronger than the headline, the strongest first; of results of version 1 those with
    an interval of the AUC above the headline's."""
    if result.family is not None:
        return [one.attack for one in result.family.stronger]
    main = result.attack()
    high = number(main.auc.high) if main and main.auc else None
    lows = {attack.name: number(attack.auc.low) for attack in result.attacks if attack.auc}
    above = {name: low for name, low in lows.items() if low is not None and high is not None and low > high}
    return sorted(above, key=lambda name: -above[name])


def _broken(result: AuditResult) -> list[str]:
    """What exceeded the limit, a sentence a rule."""
    sentences = []
    for rule in result.verdict.rules:
        if rule.passed is False and rule.broken_by:
            strongest = sorted(rule.broken_by, key=lambda figure: -(number(figure.low) or 0.0))[:NAMED]
            named = [_broken_figure(figure, parse_rule(rule.rule)) for figure in strongest]
            sentences.append(f"The limit is exceeded by {'; '.join(named)}{_more(rule.broken_by)}")
    return sentences


def _broken_figure(figure: BrokenBy, rule: GateRule) -> str:
    if figure.metric == "epsilon":
        return f"epsilon, at least {plain(figure.value)} where {plain(figure.limit)} is allowed"
    if figure.metric == "exposed":
        share = f"{percent(figure.value)}, at least {percent(figure.low)}"
        return f"people with a risk above {plain(figure.level)}: {share}, where {percent(figure.limit)} is allowed"
    if figure.attack is None:  # a count, which no attack finds
        return f"{plain(figure.value)} {figure.metric.replace('-', ' ')}, where {plain(figure.limit)} are allowed"
    at = f" at {rate(figure.fpr)} FPR" if figure.fpr is not None else ""
    name = {"tpr": "TPR", "auc": "AUC"}.get(figure.metric, figure.metric.replace("_", " "))
    value, low = (rule.said(float(number(one) or 0.0)) for one in (figure.value, figure.low))  # as the gate's reasons
    limit = plain(figure.limit) if figure.metric in ("auc", "advantage") else percent(figure.limit)
    return f"{figure.attack}: {name}{at} {value}, at least {low}, where {limit} is allowed"


def _above(result: AuditResult) -> list[str]:
    """Figures above guessing, where neither the headline's nor the canaries' first one is."""
    attack = result.attack()
    figure = None if attack is None else lead_figure(attack)
    if figure is not None and figure.above:
        return []
    everything = placed.everything(result)
    above = [one for one in everything if one.above]
    if not above:
        return []
    named = "; ".join(str(one) for one in above[:NAMED])
    chance = "" if len(above) > len(everything) / 4 else "; of so many a few may do so by chance"
    verb = "lies" if len(above) == 1 else "lie"
    return [f"{len(above)} of {len(everything)} figures here {verb} above guessing ({named}{_more(above)}){chance}"]


def _more(items: Sequence[object]) -> str:
    return f", and {len(items) - NAMED} more" if len(items) > NAMED else ""
