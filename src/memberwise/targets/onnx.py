"""An ONNX classifier, run by onnxruntime. Exporters differ in what goes in and in what comes out.

Inputs: one of all features, of any numeric type, with a free or a fixed number of records, or one a column. Outputs:
see ``targets.onnx_outputs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from memberwise.data import Dataset
from memberwise.data.layout import Layout
from memberwise.errors import MissingExtraError, Note, TargetError
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.onnx_outputs import Output, Outputs, Reader, choose_reader
from memberwise.types.arrays import Array, Arrays, DType
from memberwise.types.foreign import OnnxInput

# Records asked at once where the model does not say.
BATCH = 1024
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TYPES: dict[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({name})": name for name in WHOLE},
}
Feed = Callable[[Records], Arrays]


class OnnxModel(Target):
    """One ONNX classifier as something that answers.

    Args:
        example: a few records, from whose answers it is told how the others are read.
        dataset: what the records are: shape, classes, and how a table's columns were encoded.

    Raises:
        TargetError: it cannot be opened, does not take the records, or answers nothing by class.
    """

    def __init__(self, path: Path, example: Records, dataset: Dataset) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError.of("onnxruntime", "onnx", f"the target {path}") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised, and told once
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise TargetError(f"{path} is no readable ONNX model", found=str(error)[:200]) from error
        inputs = self.session.get_inputs()
        self.path, self.outputs = path, [output.name for output in self.session.get_outputs()]
        self.feed = _feed(path, inputs, dataset)
        first = inputs[0].shape[0] if inputs[0].shape else None
        self.batch = first if isinstance(first, int) and first > 0 else None
        reader = self._reader(example, dataset.outputs)
        self.read, self.outputs, self.kind = reader.read, reader.outputs, reader.kind
        self.input_notes = _notes(path, inputs, example, dataset)
        if self.kind == "scores":
            message = (
                f"{path} answers numbers between 0 and 1 that do not sum to 1: they are taken as scores, not as logits"
            )
            self.input_notes.append(Note("answers-are-scores", message))

    kind: Kind

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        return self.read(self._run(x))[None]

    def _reader(self, example: Records, classes: Sequence[str]) -> Reader:
        """How answers are read; where several records at once do not work, they are asked about one by one."""
        try:
            return choose_reader(self.path, self._run(example), len(example), classes)
        except TargetError as error:
            if self.batch is not None:
                raise
            self.batch = 1
            try:
                return choose_reader(self.path, self._run(example), len(example), classes)
            except TargetError:
                raise error from None

    def _run(self, x: Records) -> Outputs:
        """The outputs, joined over batches; a batch that is not full is filled up with its last record."""
        size, parts = self.batch or BATCH, []
        for first in range(0, len(x), size):
            part = x[first : first + size]
            count = len(part)
            if self.batch is not None and count < size:
                part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
            try:
                values = self.session.run(self.outputs, self.feed(part))
            except Exception as error:
                raise TargetError(
                    f"the target {self.path} fails on {len(part):,} records",
                    expected=described(self.session.get_inputs()),
                    found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                    fix="export it with a free batch dimension, for records of the data's shape",
                ) from error
            parts.append([_by_record(value, len(part))[:count] for value in values])
        joined = (np.concatenate(v) if isinstance(v[0], np.ndarray) else [*chain(*v)] for v in zip(*parts, strict=True))
        return dict(zip(self.outputs, joined, strict=True))


def _by_record(value: object, records: int) -> Output:
    """An output with its records first, also where a model for one record leaves that dimension out."""
    if isinstance(value, list):
        return value
    if isinstance(value, np.ndarray) and value.ndim and (records > 1 or len(value) == 1):
        return value
    return value[None] if isinstance(value, np.ndarray) else [value]


def _feed(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset) -> Feed:
    if dataset.layout is not None and dataset.several:
        return by_name(path, inputs, dataset, dataset.layout)
    return by_record(path, inputs[0], dataset) if len(inputs) == 1 else by_column(path, inputs, dataset)


def by_name(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset, layout: Layout) -> Feed:
    """Each input of the records into the model's input of that name."""
    if not {each.name for each in inputs} <= {one.name for one in layout.inputs}:
        raise _no_feed(path, inputs, dataset)

    def named(x: Records) -> Arrays:
        parts = layout.unpacked(x)
        return {each.name: cast(parts[each.name], np.dtype(TYPES[each.type]), False) for each in inputs}

    return named


def by_record(path: Path, taken: OnnxInput, dataset: Dataset) -> Feed:
    """Whole records into the one input, in its shape and type."""
    if taken.type not in TYPES:
        raise _no_feed(path, [taken], dataset)
    dtype, shades = np.dtype(TYPES[taken.type]), dataset.x.dtype == np.uint8
    laid_out = _layout(path, taken, dataset)
    return lambda x: {taken.name: cast(laid_out(x), dtype, shades)}


def by_column(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset) -> Feed:
    """Each column into an input of its own: a table's by name, as they were before they were encoded."""
    encoding, names = dataset.encoding, [each.name for each in inputs]
    single = all(each.shape and (len(each.shape) == 1 or each.shape[1:] in ([1], [None])) for each in inputs)
    numeric = all(each.type in TYPES for each in inputs)
    if single and encoding is not None and {*names} <= {*encoding.columns}:

        def named(x: Records) -> Arrays:
            frame = encoding.decode(x)
            return {each.name: _column(frame[each.name].to_numpy(), each) for each in inputs}

        return named
    if single and numeric and encoding is None and dataset.shape == (len(inputs),):
        return lambda x: {each.name: _column(x[:, j], each) for j, each in enumerate(inputs)}
    raise _no_feed(path, inputs, dataset)


def cast(x: Array, dtype: DType, shades: bool) -> Array:
    """Records as another type. Integers are the nearest ones, of shades (asked as [0, 1]) those within 0..255.

    Args:
        x: ``(n, ...)``, the result's shape too. shades: integers are shades of grey.
    """
    if dtype.kind not in "iu":
        return x.astype(dtype)
    info = np.iinfo(dtype)
    values = np.rint(x.astype(np.float64) * (255 if shades else 1))
    # As float64 the largest int64 is one too many.
    largest = info.max if info.bits < 64 else np.nextafter(float(info.max), 0)
    return values.clip(info.min, largest).astype(dtype)


def described(inputs: Sequence[OnnxInput]) -> str:
    """Inputs in words: name, type, shape."""
    return "; ".join(f"{each.name}: {each.type}, shape {each.shape}" for each in inputs)


def _layout(path: Path, taken: OnnxInput, dataset: Dataset) -> Callable[[Records], Array]:
    """From records to the input's shape: flattened, with a dimension of channels, or channels last."""
    shape, sizes = dataset.shape, list(taken.shape or [])[1:]
    known = [size for size in sizes if isinstance(size, int)]
    free = len(known) < len(sizes)
    if not sizes and not taken.shape:
        return lambda x: x

    def fits(candidate: Sequence[int]) -> bool:
        pairs = zip(candidate, sizes, strict=False)
        return len(candidate) == len(sizes) and all(not isinstance(b, int) or a == b for a, b in pairs)

    last = (*shape[1:], shape[0])
    if fits(shape):
        return lambda x: x
    if len(shape) == 3 and fits(last):
        return lambda x: np.moveaxis(x, 1, -1)
    if len(sizes) == 1 and fits((math.prod(shape),)):
        return lambda x: x.reshape(len(x), -1)
    for candidate in ((1, *shape), (*shape, 1)):
        if fits(candidate):
            return lambda x, to=candidate: x.reshape(len(x), *to)  # type: ignore[misc]
    if not free and math.prod(known) == math.prod(shape):
        return lambda x: x.reshape(len(x), *known)
    raise _no_feed(path, [taken], dataset)


def _column(values: Array, taken: OnnxInput) -> Array:
    if taken.type in TYPES:
        values = cast(values, np.dtype(TYPES[taken.type]), False)
    else:
        values = np.array(["" if v is None or v != v else str(v) for v in values], dtype=object)
    return values if len(taken.shape) == 1 else values[:, None]


def _no_feed(path: Path, inputs: Sequence[OnnxInput], dataset: Dataset) -> TargetError:
    """Why records cannot be put into a model's inputs."""
    columns = (
        "" if dataset.encoding is None else f" (of a table with the columns {', '.join(dataset.encoding.columns)})"
    )
    what = "another type" if len(inputs) == 1 and inputs[0].type not in TYPES else "another shape"
    problem = f"the target {path} takes records of {what}"
    if len(inputs) > 1:
        problem = f"the target {path} takes {len(inputs)} inputs, and a record is one"
    fix = "export it with one input for all features of a record"
    if len(inputs) == 1 and dataset.encoding is not None:
        fix = "give the records as the target takes them (.npz, or module:function): columns were encoded here"
    elif len(inputs) == 1:
        fix = "give the records as the target takes them, or export it for these"
    return TargetError(
        problem,
        expected=f"inputs called {dataset.layout.words()}"
        if dataset.layout is not None and dataset.several
        else f"one input of numbers for records of shape {dataset.shape}{columns}, or one input a column, in order",
        found=described(inputs),
        where="target.file",
        fix=fix,
    )


def _notes(path: Path, inputs: Sequence[OnnxInput], example: Records, dataset: Dataset) -> list[Note]:
    """A warning where records lose their fractions on the way into the model."""
    whole = [] if dataset.several else [each for each in inputs if TYPES.get(each.type, "") in WHOLE]
    if len(inputs) > 1 or not whole or dataset.x.dtype == np.uint8:
        return []
    changed = float((np.rint(example) != example).mean())
    if not changed:
        return []
    message = (
        f"{path} takes whole numbers ({whole[0].type}), and {changed:.0%} of the records' values are not whole: they "
        "were rounded; if the target's accuracy below is not the one you know, give the records as it takes them"
    )
    return [Note("target-whole-numbers", message)]
