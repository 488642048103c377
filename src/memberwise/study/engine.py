"""The study's table of engines: where shadow models are trained."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from memberwise.errors import StudyError
from memberwise.study.part import Part, Positive


class RayConfig(Part):
    """A Ray cluster; no address: a Ray of this machine alone, started for the run and stopped after it.

    cpus, gpus: of each block under way; without them the plan's threads, and on CUDA a share of a GPU by memory.
    in_flight: blocks under way at once, at most; without it as many as there is room for, and one more.
    """

    address: str | None = None
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    gpus: Annotated[float, Field(ge=0, le=64)] | None = None
    in_flight: Positive | None = None
    object_store_mb: Annotated[int, Field(ge=80, le=10**7)] | None = None

    @field_validator("address")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is None or address == "auto" or re.fullmatch(r"(ray://)?[^\s/@:]+:\d{1,5}", address):
            return address
        raise ValueError("auto, HOST:PORT or ray://HOST:PORT")


class SlurmConfig(Part):
    """Slurm, by submitit: what each task of an array asks for.

    folder: on a file system that this machine and the nodes share; without it, in the run folder.
    minutes: time limit of a task, which trains one block. array: tasks in one array. cpus: of a task; without it the
    plan's threads. options: further ones of sbatch, such as ``{account = "abc"}``.
    """

    folder: str | None = None
    partition: str | None = None
    gres: str | None = None
    minutes: Positive = 60
    array: Annotated[int, Field(ge=1, le=100_000)] = 16
    cpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    memory_mb: Positive | None = None
    setup: tuple[str, ...] = ()
    options: dict[str, str | int] = Field(default_factory=dict)


class EngineConfig(Part):
    """Where shadow models are trained. No figure depends on it, and a run may be continued with another engine.

    tries: a block is tried so many times in all, before its error ends the run.
    """

    name: str = "local"
    tries: Annotated[int, Field(ge=1, le=100)] = 3
    ray: RayConfig = RayConfig()
    slurm: SlurmConfig = SlurmConfig()

    @model_validator(mode="after")
    def _address_is_rays(self) -> Self:
        # A study may keep the address while another engine is named; one that names none has forgotten it.
        if self.ray.address is not None and "name" not in self.model_fields_set:
            raise of_ray_alone(self.name)
        return self


def of_ray_alone(engine: str) -> StudyError:
    """An address of Ray's was given, and models train by another engine."""
    return StudyError(
        "--ray-address is Ray's",
        found=f"the engine {engine}",
        where="--ray-address, engine.ray.address",
        fix='--engine ray, engine.name = "ray"',
    )
