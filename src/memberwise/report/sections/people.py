"""What the training means for single people, whose records these are."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.assess.people import ExposedRecord, GroupRisk, PeoplePart, ShareAbove
from memberwise.report import sentence
from memberwise.report.formats import count, in_one_form, percent, spoken
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source

# Holm's p-values below this are spoken of as differences.
DIFFERS = 0.05
NAMED = 4


class People(Section):
    """The distribution of personal risk, and the most exposed."""

    id, link = "people", "For single people"

    def context(self, source: Source) -> Mapping[str, object] | None:
        part = source.result.people
        if part is None:
            return None
        words = sentence.interval_words(source.result)
        scores = in_one_form([score for one in part.worst for score in (one.in_score, one.out_score)])
        pairs = zip(scores[::2], scores[1::2], strict=True)
        return {
            "said": people_sentence(source.result),
            "people": part,
            "shares": [(f"{one.auc:g}", spoken(one, "share", words), odds(one.auc)) for one in part.share_above],
            "rows": [_row(one, " / ".join(both)) for one, both in zip(part.worst, pairs, strict=True)],
            "groups": [_group(one) for one in part.groups],
            "disparity": disparity_sentence(part),
        }

    def lines(self, result: AuditResult) -> list[str]:
        return [f"Single people: {text}"] if (text := people_sentence(result)) else []


def people_sentence(result: AuditResult) -> str | None:
    """For a privacy officer: how many are exposed, however well the average looks."""
    part = result.people
    if part is None:
        return None
    highest = part.share_above[-1]
    words = sentence.interval_words(result)
    return (
        f"An attacker told that one of two models was trained on a person's record picks the right one "
        f"at least {highest.auc:.0%} of the time for {spoken(highest, 'share', words)} of the records; "
        f"{_few(part.share_above[0], words)}. {_named(part)}"
    )


def disparity_sentence(part: PeoplePart) -> str | None:
    """Which classes and groups surely differ from the rest."""
    if not part.groups:
        return None
    surely = [one for one in part.groups if one.p_adjusted < DIFFERS]
    compared = f"Of {count(len(part.groups))} classes and groups that are compared with the rest"
    if not surely:
        return f"{compared}, none differs beyond chance (Holm, 5%): that is no proof that all are alike."
    each = [f"{one.by} {one.name} {one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})" for one in surely]
    named = "; ".join(each[:NAMED]) + (f"; and {len(each) - NAMED} more" if len(each) > NAMED else "")
    verb = "differs" if len(surely) == 1 else "differ"
    return f"{compared}, {count(len(surely))} {verb} beyond chance (Holm, 5%) in mean risk: {named}."


def _group(one: GroupRisk) -> Mapping[str, str]:
    top = one.top[-1]
    return {
        "name": f"{one.by} {one.name}",
        "records": count(one.records),
        "mean": f"{one.mean:.3f}",
        "difference": f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})",
        "p": "<0.001" if one.p_adjusted < 0.001 else f"{one.p_adjusted:.3f}",
        "above": f"{percent(one.above.value)} ({percent(one.above.low)} to {percent(one.above.high)})",
        "top": f"{top.count} of {top.of} ({percent(top.low)} to {percent(top.high)})",
    }


def odds(auc: float) -> str:
    """An AUC of a record in words."""
    return f"right in {auc:.0%} of such choices or more; guessing gives 50%"


def _few(share: ShareAbove, words: str) -> str:
    return f"{spoken(share, 'share', words)} have a risk above {share.auc:g} (0.5 is none)"


def _named(part: PeoplePart) -> str:
    if part.attack is None:
        return "No record is named: no attack that compares models went through the turns."
    named = f"{count(part.named)} records are" if part.named != 1 else "1 record is"
    return f"{named} found every time a model trained on them and almost never otherwise."


def _row(one: ExposedRecord, scores: str) -> Mapping[str, str]:
    return {
        "index": str(one.index),
        "label": one.label,
        "member": "yes" if one.member else "no",
        "risk": f"{one.auc:.3f} ({one.low:.3f} to {one.high:.3f})",
        "scores": scores,
        "found": "" if one.found is None else f"{one.found} of {one.in_turns}",
        "flagged": "" if one.flagged is None else f"{one.flagged} of {one.out_turns}",
        "named": "yes" if one.named else "no",
    }
