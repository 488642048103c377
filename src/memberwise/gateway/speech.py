"""How the server behind the gateway is asked, and what of its answer is read: v2, v1 and MLflow."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

import numpy as np

from memberwise.errors import StudyError
from memberwise.gateway.behind import BehindError
from memberwise.gateway.policy import Upstream
from memberwise.models.kinds import Kind
from memberwise.types.arrays import Array, Floats32
from memberwise.types.json import Json, JsonObject, are_numbers, list_of, object_of, string_of

WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
FLOATS = ("FP16", "FP32", "FP64")
# Outputs by the names that servers give them, the most telling first.
KNOWN = ("probabilities", "predict_proba", "probability", "output_probability", "scores", "logits")


class Speech(ABC):
    """One protocol's questions and answers.

    Attributes:
        ask_url, ready_url: addresses. whole: records are sent as whole numbers.
    """

    ask_url: str
    ready_url: str
    whole: bool = False

    def __init__(self, config: Upstream) -> None:
        self.config, self.base = config, _base(config.url)

    @abstractmethod
    def question(self, x: Floats32) -> bytes:
        """The body that asks about records ``(n, *shape)``."""

    @abstractmethod
    def figures(self, values: Json, records: int, classes: Sequence[str]) -> Json:
        """The part of an answer with the figures, as nested lists.

        Raises:
            BehindError: it is not there.
        """

    def answers(self, values: Json, records: int, classes: Sequence[str], kind: Kind | None) -> Array:
        """``(n, classes)`` figures or ``(n,)`` class numbers.

        Args:
            values: the answer, parsed. kind: what is known of it.

        Raises:
            BehindError: it holds none.
        """
        try:
            values_read = self.figures(values, records, classes)
        except (KeyError, TypeError, IndexError):
            raise BehindError("the server's answer has other parts") from None
        return as_answers(values_read, records, classes, kind)


class V2Speech(Speech):
    """Open Inference Protocol."""

    def __init__(self, config: Upstream) -> None:
        super().__init__(config)
        model = f"{self.base}/v2/models/{quote(_model(config), safe='')}"
        self.ask_url, self.ready_url = f"{model}/infer", f"{model}/ready"
        self.datatype = config.datatype or "FP32"
        if self.datatype not in (*WHOLE, *FLOATS):
            raise StudyError("the server's datatype is none of numbers", found=self.datatype, where="upstream.datatype")
        self.whole = self.datatype in WHOLE

    def question(self, x: Floats32) -> bytes:
        data = x.ravel()
        values = data.astype(np.int64).tolist() if self.whole else data.tolist()
        shape, name = list(x.shape), self.config.input or "input"
        question: dict[str, object] = {
            "inputs": [{"name": name, "shape": shape, "datatype": self.datatype, "data": values}]
        }
        if self.config.output is not None:
            question["outputs"] = [{"name": self.config.output}]
        return json.dumps(question).encode()

    def figures(self, values: Json, records: int, classes: Sequence[str]) -> Json:
        all_outputs = [object_of(output) for output in list_of(object_of(values)["outputs"])]
        outputs = {string_of(output["name"]): output for output in all_outputs}
        width = len(classes)
        name = self.config.output or _likely(outputs, records, width)
        data, shape = outputs[name]["data"], outputs[name]["shape"]
        if isinstance(data, list) and data and isinstance(data[0], list):
            return data
        if shape == [records, width] and isinstance(data, list) and len(data) == records * width:
            return [data[i : i + width] for i in range(0, len(data), width)]
        return data


class V1Speech(Speech):
    """TensorFlow Serving's and KServe's first protocol."""

    key = "instances"

    def __init__(self, config: Upstream) -> None:
        super().__init__(config)
        model = f"{self.base}/v1/models/{quote(_model(config), safe='')}"
        self.ask_url, self.ready_url = f"{model}:predict", model
        self.whole = config.datatype in WHOLE

    def question(self, x: Floats32) -> bytes:
        values: list[object] = (x.astype(np.int64) if self.whole else x).tolist()
        if self.key == "instances" and self.config.input is not None:
            values = [{self.config.input: row} for row in values]
        return json.dumps({self.key: values}).encode()

    def figures(self, values: Json, records: int, classes: Sequence[str]) -> Json:
        rows = object_of(values)["predictions"]
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            if rows[0].keys() == {*classes}:
                return [[object_of(row)[name] for name in classes] for row in rows]
            name = self.config.output or _likely_key(rows[0])
            return [object_of(row)[name] for row in rows]
        return rows


class MLflowSpeech(V1Speech):
    """MLflow's model server."""

    key = "inputs"

    def __init__(self, config: Upstream) -> None:
        Speech.__init__(self, config)
        self.ask_url, self.ready_url = f"{self.base}/invocations", f"{self.base}/ping"
        self.whole = config.datatype in WHOLE


def speech_of(config: Upstream) -> Speech:
    """The protocol of a policy's upstream.

    Raises:
        StudyError: its address or model's name cannot be used.
    """
    spoken: dict[str, type[V2Speech] | type[V1Speech]] = {"v2": V2Speech, "v1": V1Speech, "mlflow": MLflowSpeech}
    return spoken[config.protocol](config)


def as_answers(figures: Json, records: int, classes: Sequence[str], kind: Kind | None) -> Array:
    """Nested lists as figures ``(n, classes)`` or class numbers ``(n,)``.

    Labels are matched with the classes by their names, else are taken as class numbers. Of two classes one number a
    record between 0 and 1 is the second one's probability.

    Raises:
        BehindError: they are neither.
    """
    if not isinstance(figures, list) or len(figures) != records:
        raise BehindError("the server answers about another number of records")
    single = [row[0] for row in figures if isinstance(row, list) and len(row) == 1]
    rows = single if len(single) == len(figures) else figures
    if isinstance(rows[0], list):
        return _figures(rows, len(classes))
    if any(isinstance(row, (list, dict)) for row in rows):
        raise BehindError("the server's answers are of several shapes")
    if kind in (None, "probabilities") and len(classes) == 2 and _is_probability(rows, kind):
        second = np.array(rows, np.float64)
        return np.stack([1 - second, second], axis=1)
    if kind not in (None, "labels"):
        raise BehindError("the server answers labels, and answered more before")
    return _class_numbers(rows, classes)


def _figures(rows: list[Json], classes: int) -> Array:
    table = [row for row in rows if isinstance(row, list) and len(row) == classes]
    if len(table) < len(rows):
        raise BehindError("the server does not answer one figure a class")
    if not all(are_numbers(row) for row in table):
        raise BehindError("the server's answers are no numbers")
    try:
        return np.array(table, np.float64)
    except OverflowError:
        raise BehindError("the server's answers are no numbers") from None


def _is_probability(rows: list[Json], kind: Kind | None) -> bool:
    if not are_numbers(rows) or not all(0 <= value <= 1 for value in rows):
        return False
    return kind is not None or any(float(value) != round(value) for value in rows)


def _class_numbers(rows: list[Json], classes: Sequence[str]) -> Array:
    by_name = {name: number for number, name in enumerate(classes)}
    texts = [_text(value) for value in rows]
    if all(text in by_name for text in texts):
        return np.array([by_name[text] for text in texts], np.int64)
    # Without names in common the labels are the classes' numbers.
    by_number = {str(number): number for number in range(len(classes))}
    if not set(by_name) & set(by_number) and all(text in by_number for text in texts):
        return np.array([by_number[text] for text in texts], np.int64)
    raise BehindError("the server answers labels that are none of the classes")


def _text(value: Json) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def _likely(outputs: Mapping[str, JsonObject], records: int, classes: int) -> str:
    """The output with the answer: known by its name, else the only one with a figure a class, else the only one."""
    for name in KNOWN:
        if name in outputs:
            return name
    fitting = [name for name, output in outputs.items() if output.get("shape") == [records, classes]]
    if len(fitting) == 1:
        return fitting[0]
    if len(outputs) == 1:
        return next(iter(outputs))
    raise BehindError("the server has several outputs, and the policy does not say which one")


def _likely_key(row: JsonObject) -> str:
    for name in KNOWN:
        if name in row:
            return name
    if len(row) == 1:
        return next(iter(row))
    raise BehindError("the server has several outputs, and the policy does not say which one")


def _model(config: Upstream) -> str:
    if not config.model:
        raise StudyError("the model's name on the server is needed", where="upstream.model")
    return config.model


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise StudyError("this is no server's address", expected="http://HOST:PORT", where="upstream.url")
    if parts.username or parts.password:
        raise StudyError(
            "an address has no password in it",
            where="upstream.url",
            fix="put it into headers_file or token_env: the policy is no place for secrets",
        )
    return url.rstrip("/")
