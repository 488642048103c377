"""The study's tables of records: where they come from, their roles, canaries among them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from memberwise.study.part import Part

RoleValue = int | str | None


class DataConfig(Part):
    """Where the records come from and which role they have: a count, a file, or nothing for the default.

    coins: each audited record is a member of the target by an independent fair coin, drawn here, or, of saved
    answers, by whoever saved them; epsilon from one run needs that.
    """

    source: str = "digits"
    label: str | None = None
    group: str | None = None
    unit: str | None = None
    features: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    members: RoleValue = None
    nonmembers: RoleValue = None
    background: RoleValue = None
    population: RoleValue = None
    reference: RoleValue = None
    validation: RoleValue = None
    auxiliary: RoleValue = None
    coins: bool = False


class CanariesConfig(Part):
    """Records made to be remembered, audited in place of the others: the worst case."""

    count: Annotated[int, Field(ge=2)] | None = None
    kind: Literal["mislabelled", "out-of-distribution", "near-duplicate"] = "mislabelled"
    source: str | None = None

    @field_validator("count")
    @classmethod
    def _even(cls, count: int | None) -> int | None:
        if count is not None and count % 2:
            raise ValueError(f"half of the canaries are members, so the count is even: {count - 1} or {count + 1}")
        return count

    @field_validator("source")
    @classmethod
    def _for_its_kind(cls, source: str | None, info: ValidationInfo) -> str | None:
        if source is not None and info.data.get("kind") != "out-of-distribution":
            raise ValueError('a source goes with kind = "out-of-distribution"')
        return source
