"""Who attacks every point of a frontier: a family of attacks named beforehand, and those that see labels alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memberwise.attacks import ATTACKS
from memberwise.attacks.label_only import ATTACKS as LABEL_ONLY
from memberwise.attacks.label_only import NEAR
from memberwise.attacks.request import CASCADE, FAMILY
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.prepare.records import records_of
from memberwise.auditing.resolve import resolve
from memberwise.defences.output.bounded import bounded_defence
from memberwise.seeds import Seeds
from memberwise.signals.collectors.base import SAMPLE
from memberwise.study.schema import AttacksConfig, Study
from memberwise.types.arrays import Array

BY_LABELS = tuple(attack.name for attack in LABEL_ONLY)
# Where answers are drawn, too: elsewhere it is worth what the gap attack is.
OF_DRAWN = (*BY_LABELS, NEAR.name)
# They look at the truth about the records they are evaluated on.
OPTIMISTIC = {name for name, attack in ATTACKS.items() if attack.threshold == "search"}
# A boundary search asks so many questions a record, unless the study says otherwise: with the 1,000 of a single audit
# label-only attacks took two thirds of a point's time on digits. None where one answer asks the model more often.
SEARCH_QUESTIONS = 300
DEAREST_SEARCH = 4


def label_only_attacks(study: Study, inputs: Inputs) -> tuple[str, ...]:
    """The label-only attacks that fit the records: copies with flipped columns want binary ones, a boundary is searched
    for where some column is not binary."""
    dataset, roles, _ = records_of(study, inputs, Seeds(study.run.seed))
    x: Array = dataset.x[roles.audited[:: max(1, -(-len(roles.audited) // SAMPLE))]]
    if x.ndim > 2:
        return BY_LABELS
    low, high = x.min(0), x.max(0)
    binary, constant = ((x == low) | (x == high)).all(0), low == high
    fits = {"label-only-augment": (binary & ~constant).any(), "label-only-boundary": not (binary | constant).all()}
    return tuple(name for name in BY_LABELS if fits.get(name, True))


def met_by(study: Study, by_labels: Sequence[str]) -> Study:
    """The study, with the family and these label-only attacks beside those it asks for.

    Its headline is one of them, and no more: it could not be had of answers of labels.
    """
    named = [study.attacks.headline] if study.attacks.headline else []
    family = [name for name in FAMILY if name != CASCADE or study.shadow.cascade]
    use = dict.fromkeys([*study.attacks.use, *named, *family, *by_labels])
    changed: dict[str, object] = {"use": tuple(use), "headline": None}
    if study.attacks.boundary_queries == AttacksConfig().boundary_queries:
        changed["boundary_queries"] = SEARCH_QUESTIONS
    shadow = study.shadow.model_copy(update={"cascade": study.shadow.cascade or 0})  # at every point, so asked for only
    return study.model_copy(update={"attacks": study.attacks.model_copy(update=changed), "shadow": shadow})


def affordable(study: Study) -> Study:
    """A point's study. Where one answer asks the model many times (a vote over copies) one label-only attack must do:
    no boundary is searched for, and copies are noised only where none can be augmented. Where answers have a bound, and
    are drawn, copies that hardly differ are asked about too."""
    defences = resolve(study).output_defences
    use = study.attacks.use
    if np.prod([defence.queries for defence in defences], dtype=np.int64) > DEAREST_SEARCH:
        dear = {"label-only-boundary", *(["label-only-noise"] if "label-only-augment" in use else [])}
        use = tuple(name for name in use if name not in dear)
    if bounded_defence(defences) is not None:
        use = tuple(dict.fromkeys([*use, NEAR.name]))
    return study.model_copy(update={"attacks": study.attacks.model_copy(update={"use": use})})


def considered(study: Study, headline: str, ran: Sequence[str], optimistic: Sequence[str] = ()) -> list[str]:
    """Of the attacks that ran those by which points are compared: the family, the label-only ones, the headline, and
    what the study asks for by name; all of them known before the run, none that looks at the truth.

    Args:
        optimistic: of those that ran, which chose their threshold on the records they are evaluated on.
    """
    named = {*FAMILY, *OF_DRAWN, *study.attacks.use, headline} - OPTIMISTIC
    # The user's own run only where the study asks for them, which it does by the place of their code.
    extras = {name for name in ran if name not in ATTACKS} - {*optimistic}
    return [name for name in ran if name in named | extras]
