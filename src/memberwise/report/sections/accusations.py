"""What an accusation is worth: thresholds carried over, records named, whether shadow models are like the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memberwise.assess.discoveries import Discoveries
from memberwise.report import sentence
from memberwise.report.formats import count, percent, plain, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source
from memberwise.statistics import Estimate
from memberwise.statistics.carried import CarriedThreshold

PPV_METHOD = "Clopper-Pearson distributions of both rates, convolved"


class Accused(Section):
    """Thresholds from shadow models and what they give on the target."""

    id, link = "accusations", "Accusations"

    def context(self, source: Source) -> Mapping[str, object] | None:
        result = source.result
        accused, named = accusations(result), discoveries_sentence(result)
        if accused is None and named is None:
            return None
        words = sentence.interval_words(result)
        return {
            "accused": accused,
            "carried": None if accused is None else carried_sentence(accused.thresholds, words),
            "discoveries": named,
            "mismatch": mismatch_sentence(result),
        }


def discoveries_sentence(result: AuditResult) -> str | None:
    """Whom an attacker names who wants hardly any name to be wrong."""
    part = result.discoveries
    if part is None:
        return None
    aim, named = percent(part.false_share, 0), part.named
    lead = f"An attacker who wants at most {aim} of the names to be wrong, in the mean, and uses {part.attack}"
    if not named:
        return f"{lead}, names nobody of {count(part.tested)} records."
    words = sentence.interval_words(result)
    return (
        f"{lead}, names {count(named)} of {count(part.tested)} records, "
        f"{spoken(part.found, 'share', words)} of the members among them; "
        f"{spoken(part.wrong_share, 'share', words)} of the names are wrong.{_calibration(result, part)}"
    )


def _calibration(result: AuditResult, part: Discoveries) -> str:
    """What the share of wrong names rests on, and what shadow models would have promised."""
    if part.assumption is None:
        return ""
    text = f" The aim holds as far as {part.assumption}."
    other = part.by_shadows
    if other and other.named:
        words = sentence.interval_words(result)
        text += (
            f" Calibrated on shadow models, {other.attack} names {count(other.named)}, of whom "
            f"{spoken(other.wrong_share, 'share', words)} are wrong."
        )
    return text


def mismatch_sentence(result: AuditResult) -> str | None:
    """Whether the shadow models answer as the target does, where that was tested."""
    part = result.mismatch
    if part is None:
        return None
    if part.p is None:
        return f"Whether the shadow models were trained as the target was could not be tested ({part.reason})."
    where = "population" if part.tested_on == "population" else "audited"
    verdict = "They differ" if mismatch_code(result) else "No difference to speak of was seen"
    return (
        f"The target and the shadow models were compared by spread and mean of the log odds and by accuracy on "
        f"{count(part.records)} {where} records: p = {plain(part.p)}. {verdict}."
    )


def mismatch_code(result: AuditResult) -> str | None:
    """The warning's code where the mismatch test fires."""
    codes = [warning.code for warning in result.warnings]
    return next((code for code in ("mismatch-strong", "mismatch") if code in codes), None)


def carried_sentence(rows: Sequence[CarriedThreshold], words: str) -> str | None:
    """Thresholds that do not give the target the rate which they gave shadow models, and what would."""
    clauses = []
    for row in rows:
        if row.holds:
            continue
        # What is told is the figure that is off, not another whose interval still reaches the rate.
        known, where = row.realised_fpr, "the target's non-members"
        if (asked := row.population_fpr) and not (asked.low or 0.0) <= row.fpr <= (asked.high or 1.0):
            known, where = asked, "population records"
        text = f"aimed at {rate(row.fpr)}, {spoken(known, 'share', words)} on {where}"
        if corrected := row.corrected:
            text += (
                f" (a threshold from population records gives {spoken(corrected.realised_fpr, 'share', words)}, and "
                f"finds {spoken(corrected.tpr, 'share', words)} of the members)"
            )
        clauses.append(text)
    return f"The rate does not hold here: {'; '.join(clauses)}." if clauses else None


@dataclass(frozen=True)
class Accusation:
    """A threshold from shadow models, and for each prior how often a record called a member is one."""

    threshold: CarriedThreshold
    ppv: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class Accusations:
    """One attack's thresholds from shadow models."""

    attack: str
    priors: tuple[float, ...]
    rows: tuple[Accusation, ...]

    @property
    def thresholds(self) -> list[CarriedThreshold]:
        return [row.threshold for row in self.rows]


def accusations(result: AuditResult) -> Accusations | None:
    """Thresholds chosen on shadow models, of the headline (else of the attack that took its turn on them)."""
    names = [result.headline, *([result.discoveries.attack] if result.discoveries else [])]
    attacks = [attack for name in names if (attack := result.attack(name)) is not None]
    attack = next((attack for attack in attacks if attack.at_shadow_threshold), None)
    if attack is None:
        return None
    values = {(row.fpr, row.prior): row for row in attack.ppv}
    priors = tuple(sorted({prior for _, prior in values}))
    counts = (attack.auc.n_members, attack.auc.n_nonmembers) if attack.auc else (0, 0)

    def worth(fpr: float, prior: float) -> Estimate | None:
        row = values[fpr, prior]
        return None if row.value is None else Estimate(row.value, row.low, row.high, *counts, PPV_METHOD)

    rows = [Accusation(row, tuple(worth(row.fpr, prior) for prior in priors)) for row in attack.at_shadow_threshold]
    return Accusations(attack.name, priors, tuple(rows))
