"""The files of a run folder: each is there whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from memberwise.errors import RunFolderError
from memberwise.report.html import render
from memberwise.report.junit import junit
from memberwise.report.modelcard import model_card
from memberwise.report.redact import holds_records, redacted
from memberwise.report.schema import READABLE, AuditResult
from memberwise.store.files import json_values, to_json, write_atomically, write_text
from memberwise.types.arrays import Array, Arrays
from memberwise.types.parts import to_plain
from memberwise.types.stages import Stages

Curves = Mapping[str, Array]


def to_csv(scores: pd.DataFrame) -> str:
    """``scores.csv`` as text: sorted by index, empty where a record is not scored, floats in full."""
    ordered = scores.sort_values("index", kind="stable") if "index" in scores else scores
    return str(ordered.to_csv(index=False, na_rep="", lineterminator="\n"))


def write_all(
    folder: Path, result: AuditResult, scores: pd.DataFrame, curves: Curves, stages: Stages | None = None
) -> None:
    """Write every file of the run; ``result.json`` comes last, so where it is, all are.

    What the study wants redacted is left out; files that hold single records are their owner's alone (mode 600).

    Args:
        stages: the run's clock, whose reading ``result.json`` holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wishes = result.study.get("report") or {}
    if wishes.get("redact") or wishes.get("redact_scores"):
        result, scores, curves = redacted(result, scores, curves, and_scores=bool(wishes.get("redact_scores")))
    values = json_values(replace(result, stages=None if stages is None else ()).to_dict())  # filled in at the end
    result = AuditResult.from_dict(values)  # as it will be read: what is no finite number is None
    private = holds_records(values)
    packed = io.BytesIO()
    np.savez_compressed(packed, **dict(curves))  # type: ignore[arg-type]
    write_text(folder / "scores.csv", to_csv(scores), private=True)
    write_atomically(folder / "curves.npz", packed.getvalue(), private=private)
    write_text(folder / "report.html", render(result, scores, curves), private=private)
    write_text(folder / "junit.xml", junit(result))
    write_text(folder / "model_card.md", model_card(result))
    if stages is not None:
        stages.over("report")
        values["stages"] = [to_plain(one) for one in stages.spent()]
    write_text(folder / "result.json", to_json(values), private=private)


def read_all(folder: Path) -> tuple[AuditResult, pd.DataFrame, Arrays]:
    """Read back what ``write_all`` wrote: result, scores, curves.

    Raises:
        RunFolderError: a file is missing or cannot be read, or the result is of another schema.
    """
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
        scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values=[""])
        with np.load(folder / "curves.npz", allow_pickle=False) as packed:
            curves = {name: packed[name] for name in packed.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise RunFolderError(
            "this is not the folder of a finished run",
            expected="result.json, scores.csv and curves.npz",
            found=str(error),
            where=str(folder),
            fix="name the folder that memberwise audit wrote, or run it again with --resume",
        ) from error
    version = result.get("schema_version") if isinstance(result, dict) else None
    if version not in READABLE:
        raise RunFolderError(
            "result.json is of a schema this version does not read",
            expected=f"schema_version {' or '.join(map(str, READABLE))}",
            found=str(version),
            where=str(folder / "result.json"),
            fix="use the version of memberwise that wrote it",
        )
    return AuditResult.from_dict(result), scores, curves
