"""An ONNX classifier, run by onnxruntime. Exporters differ in what goes in and in what comes out.

See ``targets.onnx_inputs`` and ``targets.onnx_outputs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from memberwise.data import Dataset
from memberwise.errors import MissingExtraError, Note, TargetError
from memberwise.targets.base import Kind, Records, Target
from memberwise.targets.onnx_inputs import described, feed_for
from memberwise.targets.onnx_outputs import Output, Outputs, Reader, choose_reader
from memberwise.types.arrays import Array

# Records asked at once where the model does not say.
BATCH = 1024


class OnnxModel(Target):
    """One ONNX classifier as something that answers.

    Args:
        example: a few records, from whose answers it is told how the others are read.
        dataset: what the records are: shape, classes, and how a table's columns were encoded.
        output: which of its outputs is the answer; None: the first that tells classes apart.

    Raises:
        TargetError: it cannot be opened, does not take the records, or answers nothing by class.
    """

    def __init__(self, path: Path, example: Records, dataset: Dataset, output: str | None = None) -> None:
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
        self.path, self.outputs = path, [each.name for each in self.session.get_outputs()]
        feed = feed_for(path, inputs, dataset, example)
        self.feed, self.input_notes = feed.fill, list(feed.notes)
        sizes = [each.shape[0] for each in inputs if each.shape]
        self.batch = next((size for size in sizes if isinstance(size, int) and size > 0), None)
        reader = self._reader(example, dataset.outputs, output)
        self.read, self.outputs, self.kind = reader.read, reader.outputs, reader.kind
        if reader.others:
            others = ", ".join(reader.others)
            message = (
                f"{path} answers by {', '.join(reader.outputs)} (it has {others} too: target.output names another)"
            )
            self.input_notes.append(Note("target-output", message))
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

    def _reader(self, example: Records, classes: Sequence[str], output: str | None) -> Reader:
        """How answers are read; where several records at once do not work, they are asked about one by one."""
        try:
            return choose_reader(self.path, self._run(example), len(example), classes, output)
        except TargetError as error:
            if self.batch is not None:
                raise
            self.batch = 1
            try:
                return choose_reader(self.path, self._run(example), len(example), classes, output)
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
