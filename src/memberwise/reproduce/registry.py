"""All reproductions by name."""

from __future__ import annotations

from memberwise.registry import Registry
from memberwise.reproduce.reproduction import Reproduction
from memberwise.reproduce.tables import (
    kaplan,
    kaplan_combined,
    leakoscope,
    lira,
    memguard,
    mia_library,
    nasr,
    overview,
    pac,
    shokri_dp,
    shokri_mitigations,
    shokri_platforms,
    shokri_shadow_data,
    shokri_training,
    weighted_smoothing,
)

TABLES = (
    kaplan,
    kaplan_combined,
    shokri_training,
    shokri_platforms,
    shokri_mitigations,
    shokri_shadow_data,
    shokri_dp,
    mia_library,
    overview,
    nasr,
    weighted_smoothing,
    lira,
    memguard,
    leakoscope,
    pac,
)
REPRODUCTIONS: Registry[Reproduction] = Registry(
    "reproduction",
    ((reproduction.name, reproduction) for table in TABLES for reproduction in table.REPRODUCTIONS),
    otherwise="memberwise reproduce --list",
)


def find_reproduction(name: str) -> Reproduction:
    """A reproduction by its name.

    Raises:
        StudyError: there is none of that name.
    """
    if name not in REPRODUCTIONS:
        raise REPRODUCTIONS.unknown(name, None)
    return REPRODUCTIONS[name]
