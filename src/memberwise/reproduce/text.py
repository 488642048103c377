"""Figures of a claim in words and cells."""

from __future__ import annotations

from math import log10

from memberwise.reproduce.claim import Claim, Ours, Row

# How measures begin that are no shares; they are printed as they are.
PLAIN = ("epsilon",)
BESIDE = "shown beside figures of other data or another size"


def cell(value: float, measure: str, digits: int = 1) -> str:
    """A figure: shares in per cent."""
    return f"{value:.3g}" if measure.startswith(PLAIN) else f"{100 * value:.{digits}f}%"


def ours_cell(row: Row) -> str:
    if row.ours is None:
        return "—"
    return cell(row.ours.value, row.measure) + _interval(row.ours, row.measure)


def published_cell(row: Row) -> str:
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
        f"seed {claim.seed}",
        f"{claim.seconds:.0f} s",
        where,
        f"torch {claim.versions.get('torch')}",
        claim.date,
        *([f"commit {claim.commit}"] if claim.commit else []),
    ]
    return ", ".join(parts)


def counts(claim: Claim) -> dict[str, int]:
    """How many rows agree, differ and so on, in words."""
    verdicts = [row.verdict for row in claim.findings.rows]
    return {
        "agree": sum(verdict in ("agrees", "within tolerance") for verdict in verdicts),
        "differ": verdicts.count("differs"),
        BESIDE: verdicts.count("not compared"),
        "not published": verdicts.count("not published"),
        "not run": verdicts.count("not run"),
    }


def summary(claim: Claim) -> str:
    """How many rows agree, in a line."""
    return f"{len(claim.findings.rows)} figures: " + ", ".join(f"{n} {what}" for what, n in counts(claim).items() if n)
