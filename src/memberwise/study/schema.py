"""The study: one audit's full configuration, from TOML, flags or Python. Unknown keys are refused."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from memberwise.study.duration import seconds_of
from memberwise.study.engine import EngineConfig
from memberwise.study.part import MOST, Part, Positive
from memberwise.study.target import OutputsConfig, TargetConfig

RoleValue = int | str | None
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


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


class ModelConfig(Part):
    """An architecture by name, or the user's own as ``file.py:function`` or ``module:Class``."""

    name: str = "mlp"
    hidden: tuple[Positive, ...] = (200, 200)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    options: dict[str, Any] = Field(default_factory=dict)


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
    def _by_name(cls, defence: Any) -> Any:
        return {"name": defence} if isinstance(defence, str) else defence


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


class ShadowConfig(Part):
    """How many shadow models (or as many as fit a time budget), and on whose records they train."""

    count: Annotated[int, Field(ge=2, le=MOST)] = 64
    data: Literal["halves", "auxiliary", "noisy", "synthetic"] = "halves"
    noise: Share = 0.1
    synthesis: SynthesisConfig = SynthesisConfig()
    budget: str | None = None
    allow_size_mismatch: bool = False

    @field_validator("budget")
    @classmethod
    def _time(cls, budget: str | None) -> str | None:
        if budget is not None:
            seconds_of(budget)
        return budget

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
    def _number(cls, temperature: Any) -> Any:
        if isinstance(temperature, bool) or (isinstance(temperature, str) and temperature == "tuned"):
            return temperature if temperature == "tuned" else str(temperature)
        try:
            return float(temperature)
        except (TypeError, ValueError):
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
    def _number(cls, turns: Any) -> Any:
        return int(turns) if isinstance(turns, str) and turns.isdigit() else turns

    @field_validator("fpr", mode="before")
    @classmethod
    def _rates(cls, fpr: Any) -> Any:
        if fpr == "auto":
            return fpr
        rates = fpr if isinstance(fpr, (list, tuple)) else [fpr]
        if not rates or not all(isinstance(rate, (int, float)) and 0 < rate < 1 for rate in rates):
            raise ValueError("'auto' or false-positive rates between 0 and 1 (both excluded)")
        return tuple(sorted({float(rate) for rate in rates}, reverse=True))


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


class RunConfig(Part):
    """Seed, output folder and device."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    out: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Study(Part):
    """One audit's full configuration (design, section 5, "Study keys")."""

    data: DataConfig = DataConfig()
    target: TargetConfig = TargetConfig()
    outputs: OutputsConfig = OutputsConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    canaries: CanariesConfig = CanariesConfig()
    answer: tuple[OutputDefenceConfig, ...] = ()
    shadow: ShadowConfig = ShadowConfig()
    engine: EngineConfig = EngineConfig()
    plan: PlanConfig = PlanConfig()
    queries: Literal["none", "mirror", "shift18"] = "none"
    attacks: AttacksConfig = AttacksConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    gate: GateConfig = GateConfig()
    report: ReportConfig = ReportConfig()
    release: ReleaseConfig = ReleaseConfig()
    defend: DefendConfig = DefendConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="before")
    @classmethod
    def _moved_keys(cls, values: Any) -> Any:
        return move_old_keys(values)

    @field_validator("answer", mode="before")
    @classmethod
    def _answers_by_name(cls, answer: Any) -> Any:
        if not isinstance(answer, (list, tuple)):
            return answer
        return [{"name": one} if isinstance(one, str) else one for one in answer]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ``None`` included."""
        return self.model_dump(mode="json")

    def training_parts(self) -> dict[str, Any]:
        """All that the models and their signals depend on, but for the number of shadow models."""
        parts = self.to_dict()
        relevant = {
            name: parts[name]
            for name in ("data", "target", "outputs", "model", "training", "canaries", "answer", "queries")
        }
        relevant["target"] = self.target.identity()
        where = {"noisy": ["noise"], "synthetic": ["synthesis"]}.get(self.shadow.data, [])
        relevant["shadow"] = {key: parts["shadow"][key] for key in ("data", "allow_size_mismatch", *where)}
        return relevant | {"run": {"seed": self.run.seed}}

    def training_key(self) -> str:
        """A hash of ``training_parts``: studies with one key may share a run folder."""
        return hashlib.sha256(json.dumps(self.training_parts(), sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """The study as TOML; keys without a value are left out."""
        import tomli_w

        return tomli_w.dumps(_without_none(self.to_dict()))


def move_old_keys(values: Any) -> Any:
    """Nested values with ``shadow.engine``, as studies were written before ``engine.name``, in its new place.

    A study that says both means the new one.
    """
    shadow = values.get("shadow") if isinstance(values, dict) else None
    if not isinstance(shadow, dict) or "engine" not in shadow:
        return values
    rest, engine = {k: v for k, v in shadow.items() if k != "engine"}, values.get("engine", {})
    named = {"name": shadow["engine"], **engine} if isinstance(engine, dict) else engine
    return {**values, "shadow": rest, "engine": named}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, (list, tuple)) else value
