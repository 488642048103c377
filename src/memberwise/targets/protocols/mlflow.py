"""MLflow's model server: ``POST /invocations`` with ``inputs``, or ``dataframe_split`` for the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from memberwise.targets.protocols.base import (
    Codec,
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
class MlflowServer(Codec):
    """Arrays as ``inputs`` (by name, where the study names the input), tables as ``dataframe_split``."""

    name: ClassVar[str] = "mlflow"

    def request(self, records: Sent) -> Request:
        if isinstance(records, pd.DataFrame):
            table = {"columns": [str(name) for name in records], "data": rows_of(records)}
            document: dict[str, object] = {"dataframe_split": table}
        else:
            values = listed(shaped(records, self.signature.shape))
            document = {"inputs": values if self.signature.input is None else {self.signature.input: values}}
        address = self.address.removesuffix("/")
        ends = address.partition("?")[0].endswith("/invocations")
        return Request(address if ends else f"{address}/invocations", to_json(document))

    def outputs(self, document: Json, count: int) -> Outputs:
        if not isinstance(document, dict) or "predictions" not in document:
            raise UnknownForm("no predictions")
        return by_record(document["predictions"], count, "predictions")
