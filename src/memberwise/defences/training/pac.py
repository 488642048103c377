"""An ensemble on subsets of the pool, of which a secret world answers under noise (see ``output/pac.py``)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from memberwise.defences.bounded.worlds import Share, left_out, world_rows
from memberwise.defences.output.pac import Pac
from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.ensemble import EnsembleProcedure
from memberwise.errors import Note, StudyError
from memberwise.types.arrays import Mask
from memberwise.types.parts import Plain


class PacWorlds(EnsembleProcedure):
    """Zhu, Sridhar & Devadas 2026, section 3: each record is learned by the same share of the worlds."""

    def __init__(self, worlds: int, share: float) -> None:
        self.worlds, self.share = worlds, share

    def parts(self, rows: int, seed: int) -> Mask:
        return world_rows(rows, self.worlds, self.share, seed)


class PacOptions(Options):
    """worlds, and the share of the pool that each learns; the others are those of the output defence ``pac``.

    share: a number or a fraction such as "7/8", at most 1 - 1/worlds. More of it is more useful, and tells more about
    who is in the pool.
    """

    worlds: int = Field(32, ge=2)
    share: Share = 0.5
    max_attack_success: float | None = None
    budget_nats: float | None = None
    per_question: float | None = None
    questions: int | None = None
    answers: Literal["label", "one-hot", "probabilities"] | None = None
    digits: int | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        left_out(self.worlds, self.share)
        Pac.model_validate(self.served())
        return self

    def served(self) -> Plain:
        """Parameters of the output defence."""
        return {"share": self.share, **self.model_dump(exclude={"worlds", "share"}, exclude_none=True)}


def _check(options: PacOptions, fit: Fit, module: nn.Module) -> list[Note]:
    if fit.rows < options.worlds:
        raise StudyError(
            "an ensemble needs more records than worlds",
            expected=f"at least {options.worlds} records",
            found=f"{fit.rows}",
            where="training.defence",
            fix="fewer worlds, or more records",
        )
    served = Pac.model_validate(options.served())
    return [
        Note(
            "pac-bound",
            f"of {options.worlds} worlds, each trained on {options.share:g} of the pool, a secret one answers: at most "
            f"{served.budget:.3g} nats about which one, {served.cost:.3g} a question. That bounds what is told about a "
            "record's part in the secret world, given the pool (game i). It bounds nothing about being in the pool at "
            "all (game ii), which the attacks of this audit measure",
        )
    ]


DEFENCE = TrainingDefence(
    name="pac",
    options=PacOptions,
    summary="An ensemble on subsets of the records is released; a secret one answers, with noise where they disagree.",
    source="Zhu, Sridhar & Devadas 2026, section 3",
    procedure=lambda options, fit: PacWorlds(options.worlds, options.share),
    answer=lambda options: [{"name": "pac", **options.served()}],
    check=_check,
    guarantee="PAC privacy of the secret world, given the pool; about being in the pool: none",
    grid=({"share": "31/32"}, {"share": "7/8"}, {"share": "3/4"}, {}),
)
