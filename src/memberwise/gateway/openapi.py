"""The OpenAPI document: what may be sent, and every status that may come back."""

from __future__ import annotations

from typing import TypeAlias

from memberwise.gateway.behind import Behind
from memberwise.gateway.policy import Policy
from memberwise.gateway.problems import KINDS, MEDIA_TYPE
from memberwise.gateway.protocols.base import LARGEST
from memberwise.gateway.protocols.v2 import ID, OUTPUTS, TYPES
from memberwise.gateway.tiers import NO_LABEL
from memberwise.types.version import __version__

Schema: TypeAlias = dict[str, object]
Security: TypeAlias = list[dict[str, list[str]]]

ASKED = (400, 401, 403, 408, 413, 415, 429, 500, 502, 503, 504)
KEY: Security = [{"key": []}]


def document(policy: Policy, behind: Behind) -> Schema:
    """The document of a gateway, as OpenAPI 3.1."""
    name = policy.server.name
    security: Security = [*KEY, *([{}] if policy.access.anonymous else [])]
    records = _records(policy, behind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"memberwise gateway: {name}",
            "version": __version__,
            "description": "A model behind budgets and output defences. Refusals are problem documents (RFC 9457).",
        },
        "paths": {
            f"/v2/models/{name}/infer": _ask("infer", _v2(policy, behind), _v2_answer(behind), security),
            f"/v1/models/{name}:predict": _ask("predict", _v1(records), _predictions(behind), security),
            "/invocations": _ask("invocations", _mlflow(records), _predictions(behind), security),
            f"/v2/models/{name}": _get("modelMetadata", (400, 401, 403, 429, 503), security),
            f"/v2/models/{name}/ready": _get("modelReady", (503,)),
            f"/v1/models/{name}": _get("modelStatus", (503,)),
            "/v2": _get("serverMetadata"),
            "/v2/health/live": _get("serverLive"),
            "/v2/health/ready": _get("serverReady", (503,)),
            "/health/live": _get("live"),
            "/health/ready": _get("ready", (503,)),
            "/ping": _get("ping", (503,)),
            "/health": _get("health", (503,)),
            "/version": _get("version", kind="text/plain", schema={"type": "string"}),
            "/metrics": _get("metrics", (400, 401, 403, 503), KEY, kind="text/plain", schema={"type": "string"}),
            "/openapi.json": _get("openapi"),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _PROBLEM},
            "headers": {
                "RateLimit": {"schema": {"type": "string"}, "description": "Questions left in the client's lifetime."},
                "RateLimit-Policy": {"schema": {"type": "string"}, "description": "Questions of its lifetime."},
                "Memberwise-Tier": {"schema": {"enum": ["vector", "top-3", "label"]}},
            },
        },
    }


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "reason": {"enum": ["client", "neighbourhood", "total"]},
    },
}


def _ask(name: str, asks: Schema, answers: Schema, security: Security) -> Schema:
    content = {"application/json": {"schema": answers}}
    headers = {header: {"$ref": f"#/components/headers/{header}"} for header in ("Memberwise-Tier", "RateLimit")}
    return {
        "post": {
            "operationId": name,
            "security": security,
            "requestBody": {"required": True, "content": {"application/json": {"schema": asks}}},
            "responses": _responses({"description": "Answers.", "headers": headers, "content": content}, ASKED),
        }
    }


def _get(
    name: str,
    problems: tuple[int, ...] = (),
    security: Security | None = None,
    *,
    kind: str = "application/json",
    schema: Schema | None = None,
) -> Schema:
    content = {kind: {"schema": schema or {"type": "object"}}}
    return {
        "get": {
            "operationId": name,
            "security": security or [],
            "responses": _responses({"description": "As named.", "content": content}, (*problems, 500)),
        }
    }


def _responses(answer: Schema, statuses: tuple[int, ...]) -> Schema:
    titles = {status: [title for other, title in KINDS.values() if other == status] for status in statuses}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    refusals = {
        f"{status}": {"description": "; ".join(titles[status]) + ".", "content": content} for status in statuses
    }
    return {"200": answer, **refusals}


def _number() -> Schema:
    return {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _record(shape: tuple[int, ...]) -> Schema:
    schema = _number()
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema


def _records(policy: Policy, behind: Behind) -> Schema:
    return {
        "type": "array",
        "items": _record(behind.shape),
        "minItems": 1,
        "maxItems": policy.server.max_records,
    }


def _v1(records: Schema) -> Schema:
    return _object({"instances": records, "signature_name": {"type": "string"}}, ["instances"])


def _mlflow(records: Schema) -> Schema:
    params = {"type": ["object", "null"], "maxProperties": 0}
    return {
        "oneOf": [_object({form: records, "params": params}, [form]) for form in ("inputs", "instances")],
    }


def _v2(policy: Policy, behind: Behind) -> Schema:
    sizes: list[Schema] = [{"type": "integer", "minimum": 1, "maximum": policy.server.max_records}]
    sizes += [{"const": size} for size in behind.shape]
    shape = {"type": "array", "prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)}
    parameters = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    tensor = _object(
        {
            "name": {"type": "string"},
            "shape": shape,
            "datatype": {"enum": [*TYPES]},
            "data": {
                "type": "array",
                "minItems": 1,
                "items": {"type": ["number", "array"]},
                "description": "Numbers of the shape, nested as it says or flat.",
            },
            "parameters": parameters,
        },
        ["name", "shape", "datatype", "data"],
    )
    output = _object({"name": {"enum": [*OUTPUTS]}, "parameters": parameters}, ["name"])
    return _object(
        {
            "id": {"type": "string", "maxLength": ID},
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": output},
            "parameters": parameters,
        },
        ["inputs"],
    )


def _v2_answer(behind: Behind) -> Schema:
    output = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": [*OUTPUTS]},
            "datatype": {"enum": ["FP64", "INT64"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array", "items": {"type": "number"}},
        },
    }
    properties = {"model_name": {"type": "string"}, "id": {"type": "string"}}
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {**properties, "outputs": {"type": "array", "items": output}},
    }


def _predictions(behind: Behind) -> Schema:
    classes = len(behind.classes)
    vector = {"type": "array", "items": {"type": "number"}, "minItems": classes, "maxItems": classes}
    label: Schema = {"type": "integer", "minimum": 0, "maximum": classes - 1}
    if behind.mechanism is not None:
        label |= {"minimum": NO_LABEL, "description": f"{NO_LABEL}: no label is answered"}
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"oneOf": [vector, label]}}},
    }


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
