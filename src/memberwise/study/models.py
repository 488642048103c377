"""The study's tables of models: architecture, recipe and defence, shadow models, how they are trained here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from memberwise.study.duration import seconds_of
from memberwise.study.part import MOST, Part, Positive, Share
from memberwise.types.parts import Plain

NonNegative = Annotated[float, Field(ge=0)]


# The model's name that stands for the fitted target itself.
TARGETS_OWN = "target"


class ModelConfig(Part):
    """An architecture by name, or the user's own as ``file.py:function`` or ``module:Class``.

    name: "target", the default where the target is a fitted estimator: shadow models are trained as it was.
    """

    name: str = "mlp"
    hidden: tuple[Positive, ...] = (200, 200)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    options: Plain = Field(default_factory=dict)


class DefenceConfig(BaseModel):
    """A training defence by name (or ``file.py:name``) and its parameters."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str


class TrainingConfig(Part):
    """The recipe, the same for the target and every shadow model.

    label_loss: of several binary labels a record, their losses are summed, or averaged as torch does by default.
    """

    epochs: Positive = 20
    batch_size: Positive = 64
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0
    schedule: Literal["cosine", "constant", "step", "one-cycle"] = "cosine"
    steps: tuple[Positive, ...] = ()
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_loss: Literal["sum", "mean"] = "sum"
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    augment: tuple[Literal["flip", "crop", "cutout", "mixup"], ...] = ()
    patience: Positive | None = None
    defence: DefenceConfig | None = None

    @field_validator("nesterov")
    @classmethod
    def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and not (info.data.get("optimizer") == "sgd" and info.data.get("momentum")):
            raise ValueError('Nesterov goes with optimizer = "sgd" and momentum above 0')
        return nesterov

    @field_validator("steps")
    @classmethod
    def _of_step_schedule(cls, steps: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if ("schedule" in info.data) and bool(steps) != (info.data["schedule"] == "step"):
            raise ValueError('epochs such as [10, 15] with schedule = "step", none with another schedule')
        return tuple(sorted(set(steps)))

    @field_validator("warmup")
    @classmethod
    def _one_rise(cls, warmup: int, info: ValidationInfo) -> int:
        if warmup and info.data.get("schedule") == "one-cycle":
            raise ValueError("none with one-cycle, which has its own warm-up")
        if warmup > info.data.get("epochs", warmup):
            raise ValueError(f"at most as many epochs as there are: {info.data['epochs']}")
        return warmup

    @field_validator("augment")
    @classmethod
    def _each_once(cls, augment: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(augment)) < len(augment):
            raise ValueError("each augmentation once")
        return augment

    @field_validator("defence", mode="before")
    @classmethod
    def _by_name(cls, defence: object) -> object:
        return {"name": defence} if isinstance(defence, str) else defence


class OutputDefenceConfig(BaseModel):
    """One output defence and its parameters; the list is applied in order."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str


class SynthesisConfig(Part):
    """Records climbed towards the target's answers (``shadow.data = "synthetic"``; Shokri et al. 2017, algorithm 1)."""

    k_max: Positive = 128
    k_min: Positive = 4
    conf_min: Share = 0.2
    rej_max: Positive = 10
    iter_max: Positive = 1000


# Models of a round of a cascade: two complementary pairs.
ROUND = 4


class ShadowConfig(Part):
    """How many shadow models (or as many as fit a time budget), and on whose records they train.

    ``cascade``: how many more, in rounds of four, each trained on what the earlier ones say of the target. Unsaid: 8
    where a gate rule is about the family and a cascade can be run, else none.
    """

    count: Annotated[int, Field(ge=2, le=MOST)] = 64
    data: Literal["halves", "auxiliary", "noisy", "synthetic"] = "halves"
    noise: Share = 0.1
    synthesis: SynthesisConfig = SynthesisConfig()
    budget: str | None = None
    allow_size_mismatch: bool = False
    cascade: Annotated[int, Field(ge=0, le=MOST)] | None = None

    @field_validator("budget")
    @classmethod
    def _time(cls, budget: str | None) -> str | None:
        if budget is not None:
            seconds_of(budget)
        return budget

    @field_validator("cascade")
    @classmethod
    def _rounds(cls, cascade: int | None) -> int | None:
        if cascade is not None and cascade % ROUND:
            raise ValueError(
                f"a cascade trains {ROUND} shadow models a round, so their number is a multiple of {ROUND}: "
                f"{cascade // ROUND * ROUND} or {(cascade // ROUND + 1) * ROUND}"
            )
        return cascade

    @field_validator("count")
    @classmethod
    def _pairs(cls, count: int) -> int:
        if count % 2:
            raise ValueError(
                f"shadow models come in complementary pairs, so the count is even: {count - 1} or {count + 1}"
            )
        return count


class PlanConfig(Part):
    """How models are trained on this machine; filled in before the first block and part of its key."""

    stack: Positive | None = None
    precision: Literal["float32", "bfloat16"] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    memory_format: Literal["contiguous", "channels_last"] | None = None
    compile: bool | None = None
