"""TensorFlow Serving's and KServe's first protocol: ``instances`` in, ``predictions`` out."""

from __future__ import annotations

import json
from collections.abc import Mapping

from memberwise.gateway.body import parse_json
from memberwise.gateway.policy import ProtocolName
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Limits, Outcome, Query, Reply, as_table, json_body, numbers, only


class V1:
    """``POST /v1/models/MODEL:predict``."""

    name: ProtocolName = "v1"

    def parse(self, body: bytes, headers: Mapping[str, str], limits: Limits) -> Query:
        """Records of ``instances``: lists of numbers, or objects from a table's columns to values."""
        json_body(headers)
        values = parse_json(body, limits.depth)
        only(values, {"instances", "signature_name"})
        instances = values.get("instances")
        if not isinstance(instances, list) or not isinstance(values.get("signature_name", ""), str):
            raise Problem("invalid-request", "The request is an object with a list named instances.")
        if instances and isinstance(instances[0], dict):
            return Query(as_table(instances, limits))
        return Query(numbers(instances, limits))

    def reply(self, outcome: Outcome, query: Query, model: str) -> Reply:
        body = json.dumps({"predictions": outcome.answers.tolist()}).encode()
        return Reply(body, {"content-type": "application/json"})
