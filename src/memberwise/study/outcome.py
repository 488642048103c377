"""The study's tables of what is done with the models: attacks, figures, rules, comparison of defences, report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from memberwise.study.models import DefenceConfig
from memberwise.study.part import Part, Positive, Share


class AttacksConfig(Part):
    """Which attacks, which one the verdict is about (named before the run), and what some of them are given.

    reveal: share of the audited records whose membership the attacker is told; they are not evaluated.
    transfer: folder of a finished run on other data, from which attacks learn.
    label: of several binary labels a record, the one that signals are about; None: all, summed.
    temperature: of the softmax by which ``base``, ``informia`` and ``rmia-*`` read p_y; "tuned": the best of a few on
        shadow models in the target's place. Where answers do not tell p_y at it, 1.
    boundary_queries, boundary_records: questions of the boundary search a record, and how many records it is about.
    """

    use: tuple[str, ...] = ("default",)
    headline: str | None = None
    reveal: Annotated[float, Field(ge=0, lt=1)] = 0.0
    transfer: str | None = None
    label: str | None = None
    temperature: Annotated[float, Field(ge=0.1, le=100)] | Literal["tuned"] = 2.0
    boundary_queries: Annotated[int, Field(ge=100)] = 1000
    boundary_records: Positive = 400

    @field_validator("temperature", mode="before")
    @classmethod
    def _number(cls, temperature: object) -> object:
        if isinstance(temperature, bool) or temperature == "tuned":
            return temperature if temperature == "tuned" else str(temperature)
        try:
            return float(temperature) if isinstance(temperature, (str, int, float)) else temperature
        except ValueError:
            return temperature


class StatisticsConfig(Part):
    """False-positive rates, confidence of every interval, delta of epsilon.

    targets: so many models, the target among them, are attacked in turn.
    turns: shadow models that take the target's place, for the recipe's figures, by all attacks of the family: "all",
        so many, or "none". Without it those that cost little do, by the attacks that learn nothing.
    """

    fpr: str | tuple[float, ...] = "auto"
    confidence: Share = 0.95
    delta: Annotated[float, Field(ge=0, lt=1)] = 1e-5
    targets: Annotated[int, Field(ge=2)] | None = None
    turns: Annotated[int, Field(ge=8)] | Literal["all", "none"] | None = None

    @field_validator("turns", mode="before")
    @classmethod
    def _number(cls, turns: object) -> object:
        return int(turns) if isinstance(turns, str) and turns.isdigit() else turns

    @field_validator("fpr", mode="before")
    @classmethod
    def _rates(cls, fpr: object) -> object:
        if fpr == "auto":
            return fpr
        rates = fpr if isinstance(fpr, (list, tuple)) else [fpr]
        shares = [float(rate) for rate in rates if isinstance(rate, (int, float)) and 0 < rate < 1]
        if not rates or len(shares) < len(rates):
            raise ValueError("'auto' or false-positive rates between 0 and 1 (both excluded)")
        return tuple(sorted({*shares}, reverse=True))


class GateConfig(Part):
    """Rules such as ``tpr@0.01>0.05`` which fail the run."""

    rules: tuple[str, ...] = ()


class ReportConfig(Part):
    """What the files of a run leave out: all that is about single records, and in ``scores.csv`` whose they are."""

    redact: bool = False
    redact_scores: bool = False


class ReleaseConfig(Part):
    """In what context the model is released, declared for the evidence pack; nothing is computed from it."""

    context: Annotated[str, Field(max_length=2000)] | None = None
    audience: Annotated[str, Field(max_length=2000)] | None = None
    access: Annotated[str, Field(max_length=2000)] | None = None
    purpose: Annotated[str, Field(max_length=2000)] | None = None


class DefendConfig(Part):
    """Which defences ``memberwise defend`` compares, and under which constraint it recommends one."""

    defences: tuple[str, ...] = ("default",)
    points: tuple[DefenceConfig, ...] = ()
    max_accuracy_loss: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_tpr: str | None = None
