"""The study: one audit's full configuration, from TOML, flags or Python. Unknown keys are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from memberwise.study.engine import EngineConfig
from memberwise.study.models import (
    DefenceConfig,
    ModelConfig,
    OutputDefenceConfig,
    PlanConfig,
    ShadowConfig,
    SynthesisConfig,
    TrainingConfig,
)
from memberwise.study.outcome import (
    AttacksConfig,
    DefendConfig,
    GateConfig,
    ReleaseConfig,
    ReportConfig,
    StatisticsConfig,
)
from memberwise.study.part import Part
from memberwise.study.records import CanariesConfig, DataConfig
from memberwise.study.target import OutputsConfig, TargetConfig
from memberwise.types.parts import Plain

__all__ = [
    "AttacksConfig",
    "CanariesConfig",
    "DataConfig",
    "DefenceConfig",
    "DefendConfig",
    "GateConfig",
    "ModelConfig",
    "OutputDefenceConfig",
    "PlanConfig",
    "ReleaseConfig",
    "ReportConfig",
    "RunConfig",
    "ShadowConfig",
    "StatisticsConfig",
    "Study",
    "SynthesisConfig",
    "TrainingConfig",
    "move_old_keys",
]


class RunConfig(Part):
    """Seed, output folder and device."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    out: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Study(Part):
    """One audit's full configuration (design, section 5, "Study keys").

    Examples:
        >>> import memberwise as mw
        >>> study = mw.Study.model_validate({"training": {"epochs": 5}, "gate": {"rules": ["tpr@0.01>0.05"]}})
        >>> study.training.epochs, study.shadow.count
        (5, 64)
    """

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
    def _moved_keys(cls, values: object) -> object:
        return move_old_keys(values)

    @field_validator("answer", mode="before")
    @classmethod
    def _answers_by_name(cls, answer: object) -> object:
        if not isinstance(answer, (list, tuple)):
            return answer
        return [{"name": one} if isinstance(one, str) else one for one in answer]

    def to_dict(self) -> Plain:
        """Plain values, ``None`` included."""
        return self.model_dump(mode="json")

    def training_parts(self) -> Plain:
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


def move_old_keys(values: object) -> object:
    """Nested values with ``shadow.engine``, as studies were written before ``engine.name``, in its new place.

    A study that says both means the new one.
    """
    if not isinstance(values, dict):
        return values
    shadow = values.get("shadow")
    if not isinstance(shadow, dict) or "engine" not in shadow:
        return values
    rest, engine = {k: v for k, v in shadow.items() if k != "engine"}, values.get("engine", {})
    named = {"name": shadow["engine"], **engine} if isinstance(engine, dict) else engine
    return {**values, "shadow": rest, "engine": named}


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {key: _written(value) for key, value in values.items() if value is not None}


def _written(value: object) -> object:
    if isinstance(value, dict):
        return _without_none(value)
    return [_written(one) for one in value] if isinstance(value, (list, tuple)) else value
