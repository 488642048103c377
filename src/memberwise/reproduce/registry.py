"""All reproductions by name."""

from __future__ import annotations

import difflib

from memberwise.errors import StudyError
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables import (
    kaplan,
    kaplan_combined,
    lira,
    memguard,
    mia_library,
    nasr,
    overview,
    shokri_dp,
    shokri_mitigations,
    shokri_shadow_data,
    shokri_training,
    weighted_smoothing,
)

TABLES = (
    kaplan,
    kaplan_combined,
    shokri_training,
    shokri_mitigations,
    shokri_shadow_data,
    shokri_dp,
    mia_library,
    overview,
    nasr,
    weighted_smoothing,
    lira,
    memguard,
)
REPRODUCTIONS: dict[str, Reproduction] = {
    reproduction.name: reproduction for table in TABLES for reproduction in table.REPRODUCTIONS
}


def find_reproduction(name: str) -> Reproduction:
    """A reproduction by its name.

    Raises:
        StudyError: there is none of that name.
    """
    if name in REPRODUCTIONS:
        return REPRODUCTIONS[name]
    close = difflib.get_close_matches(name, REPRODUCTIONS, n=3)
    raise StudyError(
        f"there is no reproduction {name}",
        expected="one of " + ", ".join(REPRODUCTIONS),
        fix=f"did you mean {' or '.join(close)}?" if close else "memberwise reproduce --list",
    )
