"""Which points can be trained here at all, found out before the first is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memberwise.auditing.prepare import Inputs, assemble
from memberwise.auditing.prepare.records import records_of
from memberwise.auditing.resolve import resolve
from memberwise.data import load
from memberwise.errors import StudyError
from memberwise.frontier.points import Point, named_points
from memberwise.seeds import Seeds
from memberwise.study.entrypoint import is_entrypoint
from memberwise.study.schema import PlanConfig, Study

# Nothing is measured for it: only whether everything fits is asked.
PLAN = PlanConfig(stack=1, precision="float32", threads=1, memory_format="contiguous", compile=False)


def with_dataset(study: Study, inputs: Inputs) -> Inputs:
    """The records read once for all points."""
    where = study.data
    loaded = inputs.dataset or load(where.source, label=where.label, group=where.group, unit=where.unit)
    return replace(inputs, dataset=loaded)


def usable(points: Sequence[Point], study: Study, inputs: Inputs) -> tuple[list[Point], list[tuple[Point, str]]]:
    """The points that fit data and model, and those of a group ("default", "all") that do not, with the reason.

    Raises:
        StudyError: the undefended model, or a point that was asked for by name, does not fit.
    """
    dataset, roles, _ = records_of(study, inputs, Seeds(study.run.seed))
    named, kept, refused = named_points(study), [], []
    for point in points:
        try:
            assemble(resolve(point.study(study, "")), inputs, dataset, roles, [], PLAN)
        except StudyError as error:
            if point.place == "none" or point.name in named:
                raise
            refused.append((point, str(error).split("\n")[0]))
            continue
        except Exception:
            if not is_entrypoint(point.name):
                raise  # a user's own code fails when its turn comes, and is named then
        kept.append(point)
    return kept, refused
