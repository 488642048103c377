"""Protocols by name; "custom" is a function and none of these."""

from __future__ import annotations

from memberwise.targets.protocols.base import Codec
from memberwise.targets.protocols.mlflow import MlflowServer
from memberwise.targets.protocols.v1 import V1
from memberwise.targets.protocols.v2 import V2

PROTOCOLS: dict[str, type[Codec]] = {protocol.name: protocol for protocol in (V2, V1, MlflowServer)}
