"""MLflow's model server: ``POST /invocations``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from memberwise.gateway.body import parse_json
from memberwise.gateway.policy import ProtocolName
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import (
    Limits,
    Outcome,
    Query,
    Reply,
    Rows,
    as_table,
    json_body,
    numbers,
    only,
    table,
)
from memberwise.types.arrays import Array
from memberwise.types.json import Json

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")


class MLflow:
    """``POST /invocations``."""

    name: ProtocolName = "mlflow"

    def parse(self, body: bytes, headers: Mapping[str, str], limits: Limits) -> Query:
        """Records as arrays (``inputs``, ``instances``) or as a table (``dataframe_split``, ``dataframe_records``)."""
        json_body(headers)
        values = parse_json(body, limits.depth)
        only(values, {*FORMS, "params"})
        if values.get("params") not in (None, {}):
            raise Problem("invalid-request", "This model takes no params.")
        forms = [form for form in FORMS if form in values]
        if len(forms) != 1:
            raise Problem("invalid-request", f"The request is an object with one of {', '.join(FORMS)}.")
        return Query(_records(forms[0], values[forms[0]], limits))

    def reply(self, outcome: Outcome, query: Query, model: str) -> Reply:
        body = json.dumps({"predictions": outcome.answers.tolist()}).encode()
        return Reply(body, {"content-type": "application/json"})


def _records(form: str, records: Json, limits: Limits) -> Array | Rows:
    if form == "dataframe_split":
        if not isinstance(records, dict):
            raise Problem("invalid-request", "dataframe_split is an object with columns and data.")
        only(records, {"columns", "data", "index"})
        return table(records.get("columns"), records.get("data"), limits)
    if form == "inputs" and isinstance(records, dict):
        if len(records) != 1:
            raise Problem("invalid-request", "The model has one input.")
        records = next(iter(records.values()))
    if not isinstance(records, list):
        raise Problem("invalid-request", f"{form} is a list of records.")
    if form != "inputs" and records and isinstance(records[0], dict):
        return as_table(records, limits)
    if form == "dataframe_records":
        raise Problem("invalid-records", "Every record is an object from columns to values.")
    return numbers(records, limits)
