"""The Open Inference Protocol, version 2: KServe, Triton, MLServer, and the gateway. Tensors as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from memberwise.errors import TargetError
from memberwise.targets.protocols.base import (
    Codec,
    Fetch,
    Outputs,
    Request,
    Sent,
    UnknownForm,
    array,
    listed,
    plain,
    shaped,
    to_json,
)
from memberwise.types.arrays import Array
from memberwise.types.foreign import TableColumn
from memberwise.types.json import Json, JsonObject, string_of

# What arrays of NumPy are called, where the server does not say what it takes.
DATATYPES = {"f": "FP32", "u": "UINT8", "i": "INT64"}


@dataclass(frozen=True)
class V2(Codec):
    """``POST /v2/models/M/infer`` with named tensors; a table's rows as a tensor a column (MLServer's "pd")."""

    name: ClassVar[str] = "v2"

    @property
    def base(self) -> str:
        """The server's address, without what is asked of it."""
        return self.address.partition("/v2/")[0].removesuffix("/").removesuffix("/v2")

    @property
    def model(self) -> str | None:
        """The model's name, of the study, or from an address that has it."""
        path = self.address.partition("/v2/models/")[2].split("?")[0].removesuffix("/infer").strip("/")
        return self.signature.model or unquote(path.partition("/")[0]) or None

    @property
    def place(self) -> str:
        """Where the model is.

        Raises:
            TargetError: nobody says what it is called.
        """
        model = self.model
        if model is None:
            raise _no_name()
        path = self.address.partition("/v2/models/")[2].split("?")[0].removesuffix("/infer").strip("/")
        version = path.partition("/")[2] if self.signature.model is None else ""
        return f"{self.base}/v2/models/{quote(model, safe='')}" + (f"/{version}" if version else "")

    def described(self, fetch: Fetch) -> Self:
        codec = self
        if codec.model is None:
            codec = replace(codec, signature=replace(codec.signature, model=_only_model(fetch, codec.base)))
        facts = fetch("GET", codec.place)
        if not isinstance(facts, dict):
            return codec
        known = codec.signature
        inputs = [one for one in _listed(facts, "inputs") if known.input in (None, one.get("name"))]
        outputs = [str(one.get("name")) for one in _listed(facts, "outputs")]
        if len(inputs) == 1:
            tensor = inputs[0]
            shape = tensor.get("shape")
            dims = shape[1:] if isinstance(shape, list) else []
            sizes = tuple(n for n in dims if isinstance(n, int) and n > 0)
            fixed = sizes if len(sizes) == len(dims) else ()
            known = replace(
                known,
                input=known.input or str(tensor.get("name")),
                datatype=known.datatype or str(tensor.get("datatype") or "") or None,
                shape=known.shape or fixed,
            )
        if known.output is None and len(outputs) == 1:
            known = replace(known, output=outputs[0])
        versions = facts.get("versions")
        if isinstance(versions, list) and versions:
            known = replace(known, version=", ".join(map(str, versions)))
        return replace(codec, signature=replace(known, classes=_classes(facts)))

    def request(self, records: Sent) -> Request:
        if isinstance(records, pd.DataFrame):
            inputs = [_column(str(name), records[name]) for name in records]
            document: dict[str, object] = {"inputs": inputs, "parameters": {"content_type": "pd"}}
        else:
            x = shaped(records, self.signature.shape)
            datatype = self.signature.datatype or DATATYPES[x.dtype.kind]
            tensor = {"name": self.signature.input or "input-0", "shape": list(x.shape), "datatype": datatype}
            document = {"inputs": [{**tensor, "data": _values(x, datatype)}]}
        if self.signature.output is not None:
            document["outputs"] = [{"name": self.signature.output}]
        return Request(f"{self.place}/infer", to_json(document))

    def outputs(self, document: Json, count: int) -> Outputs:
        tensors = document.get("outputs") if isinstance(document, dict) else None
        objects = [one for one in tensors if isinstance(one, dict)] if isinstance(tensors, list) else []
        if not isinstance(tensors, list) or len(objects) < len(tensors):
            raise UnknownForm("no list outputs of tensors")
        return {str(one.get("name")): _tensor(one, count) for one in objects}


def _only_model(fetch: Fetch, base: str) -> str | None:
    """The one model that the server's repository lists; None where it lists none.

    Raises:
        TargetError: it lists several.
    """
    listed_names = fetch("POST", f"{base}/v2/repository/index")
    rows = [one for one in listed_names if isinstance(one, dict)] if isinstance(listed_names, list) else []
    names = sorted({str(one["name"]) for one in rows if "name" in one})
    if len(names) > 1:
        raise _no_name(", ".join(names[:12]))
    return names[0] if names else None


def _no_name(names: str | None = None) -> TargetError:
    return TargetError(
        "which of the server's models is asked is not known",
        expected="its name",
        found=names,
        where="target.model",
        fix="--set target.model=NAME",
    )


def _classes(facts: JsonObject) -> tuple[str, ...]:
    """Names of the classes in the vector's order, as the gateway states them."""
    parameters = facts.get("parameters")
    try:
        names = json.loads(string_of(parameters["classes"])) if isinstance(parameters, dict) else []
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _listed(facts: JsonObject, name: str) -> list[JsonObject]:
    values = facts.get(name)
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _values(x: Array, datatype: str) -> list[Json]:
    """The values in a row, as the datatype has them.

    Raises:
        TargetError: fractions, where the model takes whole numbers, or a type that holds no numbers.
    """
    if datatype.startswith("FP") or datatype == "BF16":
        return listed(np.asarray(x, np.float64).ravel())
    if not datatype.startswith(("INT", "UINT")):
        raise TargetError(
            f"the served model takes tensors of {datatype}, and records are numbers",
            where="target.datatype",
            fix='records = "raw" for a model that takes the columns of a table',
        )
    whole = np.rint(x)
    if not np.array_equal(whole, x):
        raise TargetError(
            f"the served model takes whole numbers ({datatype}), and the records hold fractions",
            where="target.datatype",
            fix='target.records = "raw" where it takes shades 0 to 255',
        )
    return listed(whole.astype(np.int64).ravel())


def _column(name: str, column: TableColumn) -> dict[str, object]:
    """One column of a table as a tensor."""
    values = [plain(value) for value in column]
    kinds = {type(value) for value in values if value is not None}
    datatype = "BYTES"
    if kinds == {bool} and None not in values:
        datatype = "BOOL"
    elif kinds == {int} and None not in values:
        datatype = "INT64"
    elif kinds and kinds <= {int, float}:
        datatype = "FP64"
    tensor: dict[str, object] = {"name": name, "shape": [len(values), 1], "datatype": datatype}
    if datatype == "BYTES":
        values = [None if value is None else str(value) for value in values]
        tensor["parameters"] = {"content_type": "str"}
    return {**tensor, "data": values}


def _tensor(tensor: JsonObject, count: int) -> Array:
    name, shape = str(tensor.get("name")), tensor.get("shape")
    if "data" not in tensor:
        raise UnknownForm(f"the output {name} has no data as JSON (binary tensors are not read)")
    values = array(tensor["data"], f"the output {name}")
    sizes = [n for n in shape if isinstance(n, int) and n >= 0] if isinstance(shape, list) else []
    if not isinstance(shape, list) or len(sizes) < len(shape) or not sizes:
        raise UnknownForm(f"the output {name} has no shape")
    if np.prod(sizes) != values.size:
        raise UnknownForm(f"the output {name} has {values.size} values for shape {shape}")
    if sizes[0] != count:
        raise UnknownForm(f"the output {name} is of shape {shape} for {count} records")
    return values.reshape(sizes)
