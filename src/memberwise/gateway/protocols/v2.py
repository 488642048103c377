"""The Open Inference Protocol (v2): named tensors, as JSON or with bytes behind it (the binary extension)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeGuard

import numpy as np

from memberwise.gateway.body import parse_json
from memberwise.gateway.policy import ProtocolName
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import (
    Limits,
    Outcome,
    Query,
    Reply,
    check_count,
    checked,
    json_body,
    numbers,
    only,
    plain_numbers,
)
from memberwise.types.arrays import Array
from memberwise.types.json import Json, JsonObject

TYPES = {
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
HEADER = "inference-header-content-length"
OUTPUTS = ("probabilities", "scores", "label")
ID = 200


class V2:
    """``POST /v2/models/MODEL/infer``."""

    name: ProtocolName = "v2"

    def parse(self, body: bytes, headers: Mapping[str, str], limits: Limits) -> Query:
        """Records of the one input, whatever its name is."""
        json_body(headers)
        body, tail = _split(body, headers.get(HEADER))
        values = parse_json(body, limits.depth)
        only(values, {"id", "parameters", "inputs", "outputs"})
        name, inputs = values.get("id"), values.get("inputs")
        if name is not None and (not isinstance(name, str) or len(name) > ID):
            raise Problem("invalid-request", f"id is a text of at most {ID} characters.")
        if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
            raise Problem("invalid-request", "The model has one input: inputs is a list of one object.")
        names, binary = _outputs(values.get("outputs"))
        if _parameters(values).get("binary_data_output") is True:
            binary |= {"*"}
        return Query(_tensor(inputs[0], tail, limits), name, names, binary)

    def reply(self, outcome: Outcome, query: Query, model: str) -> Reply:
        """Every output that was asked for and may be told; the label where the vector may not."""
        tensors = {outcome.name: outcome.answers, "label": outcome.labels}
        names = [name for name in dict.fromkeys(query.outputs) if name in tensors] or [outcome.name]
        outputs, tail = [], b""
        for name in names:
            values = tensors[name]
            datatype = "INT64" if name == "label" else "FP64"
            output: dict[str, object] = {"name": name, "datatype": datatype, "shape": list(values.shape)}
            if {"*", name} & query.binary:
                data = values.astype(TYPES[datatype]).tobytes()
                output["parameters"], tail = {"binary_data_size": len(data)}, tail + data
            else:
                output["data"] = values.ravel().tolist()
            outputs.append(output)
        answer: dict[str, object] = {"model_name": model, "outputs": outputs}
        if query.id is not None:
            answer["id"] = query.id
        head = json.dumps(answer).encode()
        if not tail:
            return Reply(head, {"content-type": "application/json"})
        return Reply(head + tail, {"content-type": "application/octet-stream", HEADER: str(len(head))})


def metadata(
    model: str, classes: tuple[str, ...], shape: tuple[int, ...], datatype: str, output: str
) -> dict[str, object]:
    """What ``GET /v2/models/MODEL`` answers.

    Args:
        datatype: of the input. output: the vector's name, or "label" where labels alone are answered.
    """
    outputs: list[dict[str, object]] = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
    if output != "label":
        outputs.insert(0, {"name": output, "datatype": "FP64", "shape": [-1, len(classes)]})
    return {
        "name": model,
        "versions": ["1"],
        "platform": "memberwise",
        "inputs": [{"name": "input", "datatype": datatype, "shape": [-1, *shape]}],
        "outputs": outputs,
        "parameters": {"classes": json.dumps(classes)},
    }


def _split(body: bytes, length: str | None) -> tuple[bytes, bytes | None]:
    """The JSON, and the bytes behind it."""
    if length is None:
        return body, None
    if not length.isascii() or not length.isdigit() or not 0 < int(length[:20]) <= len(body):
        raise Problem("invalid-request", "Inference-Header-Content-Length is the length of the JSON part.")
    return body[: int(length)], body[int(length) :]


def _parameters(values: JsonObject) -> JsonObject:
    parameters = values.get("parameters", {})
    if not isinstance(parameters, dict) or not all(map(_is_plain, parameters.values())):
        raise Problem("invalid-request", "parameters are an object of texts, numbers, true and false.")
    return dict(parameters)


def _is_plain(value: Json) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def _outputs(outputs: Json) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of the outputs asked for, and of those as bytes."""
    if outputs is None:
        return (), frozenset()
    names, binary = list[str](), set[str]()
    objects = [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    if not isinstance(outputs, list) or len(objects) < len(outputs):
        raise Problem("invalid-request", "outputs is a list of objects with a name.")
    for output in objects:
        only(output, {"name", "parameters"})
        name = output.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            raise Problem("invalid-request", f"The outputs are {', '.join(OUTPUTS)}.")
        names.append(name)
        parameters = _parameters(output)
        if "classification" in parameters:
            raise Problem("invalid-request", "The classification extension is not spoken.")
        if parameters.get("binary_data") is True:
            binary.add(name)
    return tuple(names), frozenset(binary)


def _tensor(tensor: JsonObject, tail: bytes | None, limits: Limits) -> Array:
    """The records of one input, of the shape and type that it says."""
    only(tensor, {"name", "shape", "datatype", "data", "parameters"})
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if not isinstance(tensor.get("name"), str):
        raise Problem("invalid-request", "An input has a name.")
    if not isinstance(datatype, str) or datatype not in TYPES:
        raise Problem("invalid-records", f"The input's datatype is one of {', '.join(TYPES)}.")
    if not isinstance(shape, list) or not 1 < len(shape) <= 8 or not _are_sizes(shape):
        raise Problem("invalid-records", "The input's shape is a list of whole numbers, records first.")
    if min(shape) < 0 or max(shape) > LARGEST_SIDE or math.prod(shape[1:]) != math.prod(limits.shape):
        raise Problem("invalid-records", "The input has another shape than the model's.")
    check_count(shape, limits)
    size = _parameters(tensor).get("binary_data_size")
    if size is not None:
        return _from_bytes(size, tail, tensor, shape, datatype)
    if tail:
        raise Problem("invalid-request", "There are bytes behind the JSON that belong to no input.")
    data = tensor.get("data")
    if not isinstance(data, list) or not data:
        raise Problem("invalid-records", "The input's data is a list of numbers.")
    array = numbers(data, limits) if isinstance(data[0], list) else plain_numbers(data)
    if array.size != math.prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise Problem("invalid-records", "The input's data is not of its shape.")
    return _typed(array, datatype).reshape(shape)


# No side of a tensor is longer; products of eight of them stay whole numbers.
LARGEST_SIDE = 2**31


def _are_sizes(shape: list[Json]) -> TypeGuard[list[int]]:
    return all(type(size) is int for size in shape)


def _from_bytes(size: Json, tail: bytes | None, tensor: JsonObject, shape: list[int], datatype: str) -> Array:
    dtype = np.dtype(TYPES[datatype])
    if "data" in tensor or type(size) is not int or tail is None or size != len(tail):
        raise Problem("invalid-request", "binary_data_size is the number of bytes behind the JSON.")
    if size != math.prod(shape) * dtype.itemsize:
        raise Problem("invalid-records", "The input's bytes are not of its shape.")
    return checked(np.frombuffer(tail, dtype)).reshape(shape)


def _typed(array: Array, datatype: str) -> Array:
    """JSON numbers as the type that the request says.

    Raises:
        Problem: some are none of that type.
    """
    dtype = np.dtype(TYPES[datatype])
    if dtype.kind == "f":
        return checked(array.astype(np.float64)).astype(np.float64 if datatype == "FP64" else np.float32)
    info = np.iinfo(dtype)
    if array.dtype.kind == "f" or (array.size and (array.min() < info.min or int(array.max()) > info.max)):
        raise Problem("invalid-records", f"The input's data are no numbers of type {datatype}.")
    return array.astype(dtype)
