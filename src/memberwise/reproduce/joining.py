"""Claims of one seed each, made in one run or in several, as one claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from memberwise.errors import DataError
from memberwise.reproduce.claim import Claim, Setting, judged
from memberwise.reproduce.over_seeds import merge

# What has to be alike for figures to be means over seeds of one thing.
ALIKE = ("name", "size", "data", "substitute", "settings")


def join(claims: Sequence[Claim]) -> Claim:
    """The claim of all their seeds: findings merged and judged anew, seconds added, circumstances that differ listed.

    Raises:
        DataError: one has several seeds, two the same one, or they are not of one reproduction as it is now.
    """
    ordered = sorted(claims, key=lambda claim: claim.seeds)
    first = ordered[0]
    check_joinable(ordered, {name: getattr(first, name) for name in ALIKE})
    if len(ordered) == 1:
        return first
    findings = merge({claim.seeds[0]: claim.findings for claim in ordered})
    return replace(
        first,
        seeds=tuple(claim.seeds[0] for claim in ordered),
        seconds=round(sum(claim.seconds for claim in ordered), 1),
        date=_listed(claim.date for claim in ordered),
        commit=_listed(claim.commit for claim in ordered),
        machine=_by_key([claim.machine for claim in ordered]),
        versions={key: str(value) for key, value in _by_key([claim.versions for claim in ordered]).items()},
        findings=judged(findings, first.settings),
    )


def check_joinable(claims: Sequence[Claim], alike: Mapping[str, object], seeds: Sequence[int] = ()) -> None:
    """That these claims can be joined with each other, and with these further seeds.

    Args:
        alike: attributes of a claim that all must have.

    Raises:
        DataError: see ``join``.
    """
    cannot = "these claims cannot be joined"
    for claim in claims:
        if len(claim.seeds) != 1:
            expected = "claims of one seed each: seed-N/claim.json of a run folder"
            raise DataError(cannot, expected=expected, found=f"one of seeds {', '.join(map(str, claim.seeds))}")
        for name, value in alike.items():
            if getattr(claim, name) != value:
                found = f"{_told(getattr(claim, name))} of seed {claim.seeds[0]}"
                raise DataError(cannot, expected=f"all with the same {name}: {_told(value)}", found=found)
    every = [*seeds, *(claim.seeds[0] for claim in claims)]
    twice = sorted({seed for seed in every if every.count(seed) > 1})
    if twice:
        raise DataError(cannot, expected="each seed once", found=f"twice: {', '.join(map(str, twice))}")


def _told(value: object) -> str:
    """An attribute in words; settings by their names and values."""
    if not isinstance(value, tuple):
        return str(value) or "none"
    return "; ".join(f"{part.name} = {part.value}" if isinstance(part, Setting) else str(part) for part in value)


def _listed(values: Iterable[object]) -> str:
    """Each once, in words."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None and value != ""))


def _by_key(parts: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """As they are where all have the same, else what each has."""
    keys = dict.fromkeys(key for part in parts for key in part)
    out: dict[str, object] = {}
    for key in keys:
        values = [part.get(key) for part in parts]
        alike = all(value == values[0] for value in values)
        out[key] = values[0] if alike else _listed(values)
    return out
