"""The study's tables of targets that exist: a file, a served model, saved answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from memberwise.study.part import Part, Positive

# What a served model's answers depend on.
SERVED = ("endpoint", "protocol", "model", "input", "output", "datatype", "shape", "answers", "classes", "records")


class TargetConfig(Part):
    """A target that is trained already, in a file or served, and all the rows it saw.

    endpoint: address of a server (``http://host:port``, or all of what is asked), or ``file.py:ask`` with the
    protocol "custom". model, input, output, datatype, shape: the served model's name, its tensors', the input's type
    and shape of one record, where its metadata do not say; of an ONNX file ``output`` names the answer. answers: what
    comes back; "auto": told by the answers. classes: names of the classes in the server's order. records: "features",
    as models here take them; "raw": the table's own columns, or shades 0 to 255.
    policy: the server's policy: shadow models answer through its output defences, as the server does.
    batch: records a request. concurrency: requests under way at once (4; of "custom", 1). timeout: seconds. retries:
    of one request. probes: so many records are asked about again, at the start and at the end. max_queries: records
    asked about in the life of the run folder. token_env: environment variable with a bearer token, or with several,
    of accounts that collude. headers_file: further headers, ``Name: value`` a line.
    trust: types of a .skops file that may be loaded, by their full names.
    """

    file: str | None = None
    train_rows: str | None = None
    endpoint: str | None = None
    protocol: Literal["v2", "v1", "mlflow", "custom"] = "v2"
    model: str | None = None
    input: str | None = None
    output: str | None = None
    datatype: Literal["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT8"] | None = None
    shape: tuple[Positive, ...] = ()
    answers: Literal["auto", "probabilities", "logits", "scores", "labels"] = "auto"
    classes: tuple[str, ...] = ()
    records: Literal["features", "raw"] = "features"
    policy: str | None = None
    batch: Annotated[int, Field(ge=1, le=100_000)] = 64
    concurrency: Annotated[int, Field(ge=1, le=256)] | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    probes: Annotated[int, Field(ge=0, le=1000)] = 8
    max_queries: Positive | None = None
    token_env: str | None = None
    headers_file: str | None = None
    trust: tuple[str, ...] = ()

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, classes: object) -> object:
        if not isinstance(classes, (list, tuple)):
            return classes
        return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in classes]

    @property
    def given(self) -> bool:
        """A target that was trained elsewhere: a file, or served."""
        return self.file is not None or self.endpoint is not None

    def identity(self) -> dict[str, object]:
        """What its answers depend on: not how fast, how often or with which credentials it is asked."""
        parts = self.model_dump(mode="json")
        kept = ("file", "train_rows", *(SERVED if self.endpoint is not None else ("output",) if self.output else ()))
        return {name: parts[name] for name in kept}


class OutputsConfig(Part):
    """Saved answers, audited without a model."""

    file: str | None = None
    shadow_file: str | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if self.shadow_file is not None and self.file is None:
            raise ValueError("shadow outputs go with the target's: --outputs FILE")
        return self
