"""In words: canaries, several targets, thresholds carried over, records named. None where a run has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memberwise.assess.canaries import CanariesPart
from memberwise.assess.discoveries import Discoveries
from memberwise.assess.variation import Stability
from memberwise.report import sentence
from memberwise.report.formats import count, number, percent, plain, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.statistics.carried import CarriedThreshold

PPV_METHOD = "Clopper-Pearson distributions of both rates, convolved"
KINDS = {
    "mislabelled": "with a wrong label",
    "out-of-distribution": "from outside the data",
    "near-duplicate": "with a wrong label and a near copy that every model trained on",
}


def canaries_sentence(result: AuditResult) -> str | None:
    """How well the worst records are found."""
    part = result.canaries
    if part is None:
        return None
    words, kind = sentence.interval_words(result), KINDS.get(part.kind, part.kind)
    row = worst_rate(part)
    return (
        f"{count(part.count)} canaries {kind} under {count(part.models)} models in turn, by {part.attack}: "
        f"{spoken(row, 'share', words)} recognised at {rate(row.fpr)} FPR{_marked(row)}, "
        f"{spoken(part.tpr_at_zero, 'share', words)} without any wrong accusation."
    )


def worst_rate(part: CanariesPart) -> TprAtFpr:
    """The row at the smallest false-positive rate: the one by which canary audits are known."""
    return min(part.tpr_at_fpr, key=lambda row: row.fpr)


def _marked(row: TprAtFpr) -> str:
    marks = {"weak": " (few pairs to judge this by)", "no": " (too few pairs to judge this by)"}
    return marks.get(row.resolvable, "")


def targets_sentence(result: AuditResult) -> str | None:
    """How the figures differ from one training to the next."""
    part = result.targets
    if part is None:
        return None
    words, at = sentence.interval_words(result), part.stability.fpr
    row = next(row for row in part.tpr_at_fpr if row.fpr == at)
    return (
        f"{count(part.count)} models in the target's place, by {part.attack}: mean TPR at {rate(at)} FPR "
        f"{spoken(row.mean, 'share', words)}, standard deviation {percent(row.std)}; mean AUC "
        f"{spoken(part.auc.mean, 'number', words)}."
    )


def stability_sentence(result: AuditResult) -> str | None:
    """Who is exposed whatever model is trained."""
    stable = None if result.targets is None else result.targets.stability
    if stable is None or stable.always is None:
        return None
    return (
        f"Of {count(stable.records)} records which two of these models or more trained on, "
        f"{spoken(stable.always, 'share', sentence.interval_words(result))} are recognised at "
        f"{rate(stable.fpr)} FPR in every model that trained on them ({percent(stable.by_chance)} would be, if "
        f"each model exposed others), {percent(stable.sometimes)} in some and {percent(stable.never)} in none."
        f"{_exposed(stable, sentence.interval_words(result))}"
    )


def _exposed(stable: Stability, words: str) -> str:
    """Records that are recognised where they were trained on and only there; version 1 did not say how many."""
    if stable.exposed is None:
        return ""
    share = spoken(stable.exposed, "share", words)
    return f" {share} are, and in no model that did not train on them: their score tells membership, not oddity."


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
    said = f" The aim holds as far as {part.assumption}."
    other = part.by_shadows
    if other and other.named:
        words = sentence.interval_words(result)
        said += (
            f" Calibrated on shadow models, {other.attack} names {count(other.named)}, of whom "
            f"{spoken(other.wrong_share, 'share', words)} are wrong."
        )
    return said


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
    said = []
    for row in rows:
        if row.holds:
            continue
        known = row.population_fpr or row.realised_fpr
        where = "population records" if row.population_fpr else "the target's non-members"
        text = f"aimed at {rate(row.fpr)}, {spoken(known, 'share', words)} on {where}"
        if corrected := row.corrected:
            text += (
                f" (a threshold from population records gives {spoken(corrected.realised_fpr, 'share', words)}, and "
                f"finds {spoken(corrected.tpr, 'share', words)} of the members)"
            )
        said.append(text)
    return f"The rate does not hold here: {'; '.join(said)}." if said else None


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


def lines(result: AuditResult) -> list[str]:
    """What a terminal says of all this, one line each."""
    epsilon = result.epsilon
    said = [canaries_sentence(result), targets_sentence(result), stability_sentence(result)]
    if epsilon is not None and number(epsilon.value) is not None and "descriptive" not in epsilon.basis:
        held = percent(epsilon.confidence, 0)
        said.append(f"Epsilon is at least {plain(epsilon.value)} at {held} confidence ({epsilon.basis}).")
    return [line for line in said if line]
