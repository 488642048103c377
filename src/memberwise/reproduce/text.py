"""Figures of a claim in words and cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from memberwise.reproduce.claim import Claim, Ours, Row, is_share

BESIDE = "shown beside figures of other data or another size"


def cell(value: float, measure: str, digits: int = 1) -> str:
    """A figure: shares in per cent."""
    return f"{100 * value:.{digits}f}%" if is_share(measure) else f"{value:.3g}"


def ours_cell(row: Row) -> str:
    """Our figure and its interval, or a dash."""
    if row.ours is None:
        return "—"
    return cell(row.ours.value, row.measure) + _interval(row.ours, row.measure)


def published_cell(row: Row) -> str:
    """The published figure with as many digits as are printed, or a dash."""
    if row.published is None:
        return "—"
    digits = max(0, round(-log10(2 * row.published.rounding)) - 2)  # as many as are printed
    return cell(row.published.value, row.measure, digits) + (" (verify)" if row.published.verify else "")


def _interval(ours: Ours, measure: str) -> str:
    if ours.low is None or ours.high is None:
        return ""
    return f" [{cell(ours.low, measure).rstrip('%')}, {cell(ours.high, measure).rstrip('%')}]"


def sources(claim: Claim) -> list[str]:
    """Where the published figures are from, each once."""
    return list(dict.fromkeys(row.published.source for row in claim.findings.rows if row.published is not None))


def circumstances(claim: Claim) -> str:
    """Data, size, seed, machine, date and commit in one line."""
    machine = claim.machine
    where = machine.get("gpu") or f"{machine.get('processor')}, {machine.get('cores')} cores"
    parts = [
        f"size {claim.size}",
        f"data {', '.join(claim.data)}",
        seeds_told(claim),
        f"{claim.seconds:.0f} s",
        where,
        f"torch {claim.versions.get('torch')}",
        claim.date,
        *([f"commit {claim.commit}"] if claim.commit else []),
    ]
    return ", ".join(parts)


def reasons_of(rows: Sequence[Row]) -> list[str]:
    """Each reason once, to be numbered from 1."""
    return list(dict.fromkeys(why for row in rows for why in _reasons(row)))


def _reasons(row: Row) -> list[str]:
    """Why there is no figure, or no more to it; and why an agreement would prove nothing."""
    fitted = row.proves_nothing if row.verdict == "fitted to match" else ""
    return [why for why in (row.why, fitted) if why]


def verdict_cell(row: Row, reasons: Sequence[str]) -> str:
    """The verdict and the numbers of the reasons, which say enough where nothing was compared."""
    omitted = row.verdict == "not published" or (row.verdict == "not compared" and row.why)
    numbers = [str(reasons.index(why) + 1) for why in _reasons(row)]
    return " ".join([*([] if omitted else [row.verdict]), *([f"({', '.join(numbers)})"] if numbers else [])])


ORIGINS = {
    "published": "As published",
    "ours": "Ours",
    "fitted": "Chosen by looking at the published figures",
}


def origins(claim: Claim) -> list[str]:
    """Where the settings come from, a line for each kind."""
    lines = []
    for origin, words in ORIGINS.items():
        entries = [
            f"{setting.name}: {setting.value}" + (f" ({setting.why})" if setting.why else "")
            for setting in claim.settings
            if setting.origin == origin
        ]
        if entries:
            lines.append(f"{words}: {'; '.join(entries)}")
    return lines


def seeds_told(claim: Claim) -> str:
    """The seeds in words."""
    return f"seed{'s' if len(claim.seeds) > 1 else ''} {', '.join(map(str, claim.seeds))}"


def spread_cell(row: Row) -> str:
    """The standard deviation over seeds, where there are several."""
    if row.ours is None or row.ours.spread is None:
        return "—"
    return cell(row.ours.spread, row.measure, 2).rstrip("%")


def counts(claim: Claim) -> dict[str, int]:
    """How many rows agree, differ and so on, in words."""
    verdicts = [row.verdict for row in claim.findings.rows]
    return {
        "agree": sum(verdict in ("agrees", "within tolerance") for verdict in verdicts),
        "fitted to match": verdicts.count("fitted to match"),
        "differ": verdicts.count("differs"),
        BESIDE: verdicts.count("not compared"),
        "not published": verdicts.count("not published"),
        "invalid": verdicts.count("invalid"),
        "not run": verdicts.count("not run"),
    }


def summary(claim: Claim) -> str:
    """How many rows agree, in a line."""
    return f"{len(claim.findings.rows)} figures: " + ", ".join(f"{n} {what}" for what, n in counts(claim).items() if n)
