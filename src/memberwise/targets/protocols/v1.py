"""Version 1, ``instances`` and ``predictions``: TensorFlow Serving, KServe, Vertex, and the gateway."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import quote

import pandas as pd

from memberwise.errors import TargetError
from memberwise.targets.protocols.base import (
    Codec,
    Fetch,
    Outputs,
    Request,
    Sent,
    UnknownForm,
    by_record,
    listed,
    rows_of,
    shaped,
    to_json,
)
from memberwise.types.json import Json


@dataclass(frozen=True)
class V1(Codec):
    """``POST /v1/models/M:predict``; an address that ends in ``:predict`` is asked as it is."""

    name: ClassVar[str] = "v1"

    @property
    def place(self) -> str:
        """Where the model is, without ``:predict``.

        Raises:
            TargetError: nobody says what it is called.
        """
        address = self.address.partition("?")[0].removesuffix("/")
        if address.endswith(":predict"):
            return address.removesuffix(":predict")
        if "/v1/models/" in address:
            return address
        if self.signature.model is None:
            raise TargetError(
                "which of the server's models is asked is not known",
                expected="its name, or an address that ends in :predict",
                where="target.model",
                fix="--set target.model=NAME",
            )
        return f"{address.removesuffix('/v1')}/v1/models/{quote(self.signature.model, safe='')}"

    def described(self, fetch: Fetch) -> Self:
        facts = fetch("GET", self.place)
        states = facts.get("model_version_status") if isinstance(facts, dict) else None
        if not isinstance(states, list):
            return self
        versions = [str(one["version"]) for one in states if isinstance(one, dict) and "version" in one]
        return replace(self, signature=replace(self.signature, version=", ".join(versions) or None))

    def request(self, records: Sent) -> Request:
        if isinstance(records, pd.DataFrame):
            names = [str(name) for name in records]
            instances: list[Json] = [dict(zip(names, row, strict=True)) for row in rows_of(records)]
        else:
            instances = listed(shaped(records, self.signature.shape))
            if self.signature.input is not None:
                instances = [{self.signature.input: values} for values in instances]
        query = self.address.partition("?")[2]
        return Request(f"{self.place}:predict" + (f"?{query}" if query else ""), to_json({"instances": instances}))

    def outputs(self, document: Json, count: int) -> Outputs:
        if not isinstance(document, dict) or not {"predictions", "outputs"} & set(document):
            raise UnknownForm("no predictions")
        name = "predictions" if "predictions" in document else "outputs"
        return by_record(document[name], count, name)
