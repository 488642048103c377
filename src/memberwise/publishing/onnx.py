"""A released network as one ONNX file: preprocessing, network and, where it is a function of the answer, its policy."""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.data.preprocessing import Preprocessing
from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.label_only import LabelOnly
from memberwise.defences.output.rounding import Rounding
from memberwise.defences.output.temperature import Temperature
from memberwise.defences.output.top_k import TopK
from memberwise.defences.released import ReleasedModel
from memberwise.errors import MissingExtraError, TargetError
from memberwise.publishing.made_up import made_up_records
from memberwise.publishing.onnx_graph import ANSWERS, FEATURES, Graph, feed_of, preprocessing_nodes
from memberwise.store.files import write_atomically
from memberwise.targets.base import Kind
from memberwise.targets.models import TorchModels
from memberwise.types.arrays import Mask
from memberwise.types.version import __version__

OPSET = 17
# Records about which file and model are compared, and how far float32 may bring them apart.
RECORDS, TOLERANCE = 256, 1e-5


def export_onnx(model: ReleasedModel, path: Path, records: Any = None) -> None:
    """Write the model as ONNX, once ONNX Runtime answers from it as the model does.

    Args:
        model: of ``memberwise.load_target``.
        records: raw records about which both are asked; made-up ones by default.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        TargetError: what cannot be such a file (an ensemble, several inputs, an output defence that needs more than the
            answer, a module that torch does not export), or answers that differ.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of(str(error.name), "export", "export to ONNX") from None
    steps = [_step(defence) for defence in model.defences]
    content = _file(model, steps)
    _compare(model, content, records)
    write_atomically(path, content)


def _refuse(what: str, found: str, fix: str) -> TargetError:
    return TargetError(f"{what} cannot be an ONNX file", found=found, where="export --to onnx", fix=fix)


Step = Callable[[Graph, Kind], Kind]


def _step(defence: OutputDefence) -> Step:
    """The nodes of an output defence."""
    match defence:
        case Rounding():
            return lambda graph, kind: _rounded(graph, kind, defence.digits)
        case TopK():
            return lambda graph, kind: _top(graph, kind, defence.k)
        case Temperature():
            return lambda graph, kind: _divided(graph, kind, defence.t)
        case LabelOnly():
            return _label
    raise _refuse(
        f"the output defence {type(defence).__name__}",
        "it needs a secret, a state, further questions, or more than rounding, top-k, temperature and label-only do",
        "serve it by the gateway (memberwise serve), or export what the model itself answers: --undefended",
    )


def _probabilities(graph: Graph, kind: Kind) -> None:
    if kind == "logits":
        graph.then("Softmax", axis=-1)


def _rounded(graph: Graph, kind: Kind, digits: int) -> Kind:
    _probabilities(graph, kind)
    graph.then("Mul", np.float64(10.0**digits))
    graph.then("Round")
    graph.then("Div", np.float64(10.0**digits))
    return "scores"


def _top(graph: Graph, kind: Kind, k: int) -> Kind:
    _probabilities(graph, kind)
    values = graph.last
    graph.then("Shape")
    graph.then("Gather", np.int64(1))
    graph.then("Min", np.int64(k))
    graph.then("Reshape", np.array([1]))
    kept, places = graph.node("TopK", [values, graph.last], 2, axis=-1)
    zero = graph.node("Sub", [values, values])[0]
    graph.last = graph.node("ScatterElements", [zero, places, kept], axis=-1)[0]
    return "scores"


def _divided(graph: Graph, kind: Kind, t: float) -> Kind:
    if kind != "logits":
        graph.then("Max", np.float64(1e-12 if kind == "scores" else np.finfo(float).tiny))
        graph.then("Log")
    graph.then("Div", np.float64(t))
    return "logits"


def _label(graph: Graph, kind: Kind) -> Kind:
    graph.then("ArgMax", axis=-1, keepdims=0)
    return "labels"


def _file(model: ReleasedModel, steps: list[Step]) -> bytes:
    """The bytes of the model with its preprocessing and policy."""
    import onnx
    from onnx import TensorProto, helper

    models = model.undefended
    if not isinstance(models, TorchModels):
        raise _refuse("an ensemble", type(models).__name__, "its gateway answers by one of its models and a budget")
    inputs, graph = preprocessing_nodes(model.preprocessing)
    network = onnx.load_from_string(_network(models, model.preprocessing))
    before = list(graph.nodes)
    graph.nodes = []
    graph.last = "network.answers"
    graph.then("Cast", to=TensorProto.DOUBLE)
    kind = models.kind
    for step in steps:
        kind = step(graph, kind)
    if model.several_labels and kind == "logits":
        graph.then("Sigmoid")
    elif kind == "logits":
        graph.then("Softmax", axis=-1)
    graph.node("Identity", [graph.last], names=[ANSWERS])
    answers = (
        helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, ["records"])
        if kind == "labels"
        else helper.make_tensor_value_info(ANSWERS, TensorProto.DOUBLE, ["records", len(model.classes)])
    )
    whole = helper.make_graph(
        [*before, *network.graph.node, *graph.nodes],
        "memberwise",
        inputs,
        [answers],
        [*network.graph.initializer, *graph.constants],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 2)]
    made = helper.make_model(whole, opset_imports=opsets, ir_version=8, producer_name=f"memberwise {__version__}")
    facts = {"classes": json.dumps(list(model.classes)), "policy": json.dumps(list(model.policy)), "kind": model.kind}
    helper.set_model_props(made, facts)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _network(models: TorchModels, preprocessing: Preprocessing) -> bytes:
    """The network alone: ``features`` in, ``network.answers`` out."""
    module = copy.deepcopy(models.network.made(0)).cpu().float().eval()
    example, content = torch.zeros(2, *preprocessing.shape), io.BytesIO()
    axes = {FEATURES: {0: "records"}, "network.answers": {0: "records"}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own age, and of shapes that it takes for constants
            torch.onnx.export(
                module,
                (example,),
                content,  # type: ignore[arg-type]  # the older exporter writes to files that are open, too
                input_names=[FEATURES],
                output_names=["network.answers"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:
        raise _refuse(
            "this network",
            f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            "serve its folder by the gateway (memberwise serve)",
        ) from error
    return content.getvalue()


def _compare(model: ReleasedModel, content: bytes, records: Any) -> None:
    """Refuse a file that answers otherwise than the model."""
    import onnxruntime

    if records is None:
        records = made_up_records(model.preprocessing, RECORDS, np.random.default_rng(0))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = feed_of(model.preprocessing, records)
    exported, released = np.asarray(session.run([ANSWERS], feed)[0]), model.predict(records)
    same = np.isclose(exported, released, rtol=0, atol=TOLERANCE).reshape(len(released), -1).all(1)
    for part in (1, 2):  # batches of other sizes than the exporter saw
        few = np.asarray(session.run([ANSWERS], {name: value[:part] for name, value in feed.items()})[0])
        same[:part] &= np.isclose(few, exported[:part], rtol=0, atol=TOLERANCE).reshape(part, -1).all(1)
    bad = ~same & ~_at_an_edge(model, records)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise TargetError(
            "the ONNX file does not answer as the released model does, and is not written",
            expected=str(np.asarray(released[row])),
            found=f"{np.asarray(exported[row])}; {int(bad.sum())} of {len(bad)} records differ, the first is {row}",
            where="export --to onnx",
            fix="serve its folder by the gateway (memberwise serve)",
        )


def _at_an_edge(model: ReleasedModel, records: Any) -> Mask:
    """Records whose answer may tip by float32's rounding: a digit, the label or the k-th class is a tie, ``(n,)``."""
    p = ReleasedModel(model.undefended, model.preprocessing, model.classes, ()).predict(records)
    edge = np.zeros(len(p), bool)
    for defence in model.defences:
        if isinstance(defence, Rounding):
            scaled = p * 10.0**defence.digits
            edge |= (np.abs(scaled - np.floor(scaled) - 0.5) < TOLERANCE * 10.0**defence.digits).any(1)
        elif isinstance(defence, (LabelOnly, TopK)):
            ordered = -np.sort(-p, axis=1)
            k = min(defence.k if isinstance(defence, TopK) else 1, p.shape[1] - 1)
            edge |= ordered[:, k - 1] - ordered[:, k] < TOLERANCE
    return edge
