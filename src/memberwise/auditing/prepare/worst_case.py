"""What a study's canaries and coins change in the data and the roles of records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memberwise.data import Dataset, Roles
from memberwise.data.canaries import by_coins, make_canaries
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.study.schema import Study


def for_worst_case(
    study: Study, wants: Mapping[str, Any], dataset: Dataset, roles: Roles, seeds: Seeds
) -> tuple[Dataset, Roles]:
    """Put canaries in place of the audited records, and draw the target's members by coins, where the study says so.

    Raises:
        StudyError: the target is trained already, or somebody else has chosen its members.
    """
    canaries, coins = study.canaries, study.data.coins
    if (canaries.count or coins) and wants["train_rows"] is not None:
        raise StudyError(
            "a target that is trained already cannot train on canaries, and its members are no coins drawn here",
            where="canaries.count" if canaries.count else "data.coins",
            fix="leave it out; if its members were drawn by coins, save its answers and say --outputs FILE --coins",
        )
    if coins and not isinstance(wants["members"], int | None):
        raise StudyError(
            "members are named, so they are not drawn by coins",
            where="data.members, data.coins",
            fix="a number of members",
        )
    if canaries.count:
        dataset, roles = make_canaries(dataset, roles, canaries.count, canaries.kind, canaries.source, seeds)
    return dataset, by_coins(roles, seeds) if coins else roles
