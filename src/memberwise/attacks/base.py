"""What an attack is: a pure function of the table of signals, and a statement of what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from memberwise.signals.collectors.registry import EXTRAS
from memberwise.signals.questions import Collector
from memberwise.signals.table import Signals, kept_temperatures
from memberwise.types.arrays import Floats

Score = Callable[[Signals, np.random.Generator], Floats]
# From a table's shadow models: the scores of any target beside the very same ones.
Teach = Callable[[Signals, np.random.Generator], Callable[[Signals], Floats]]

# What one answer must at least be, from least to most.
LEVELS = ("labels", "scores", "probabilities", "logits")


@dataclass(frozen=True)
class Needs:
    """The access an attack assumes; it is skipped, with the reason, where the table does not give it.

    Attributes:
        answers: the least informative kind of answer it works on.
        label: the attacker knows the record's true label.
        vectors: it reads full answers of the target (not only the true class).
        shadow_vectors: it reads full answers of shadow models too.
        shadows: "out": shadow models that did not train on a record suffice; "in+out": both sides for a record.
        training_table: it learns from any records that shadow models saw and did not see: audited ones, else auxiliary.
        population: it needs answers on population records.
        features: it reads the records themselves, audited ones and the population's.
        extra: the collector whose answers it reads, of shadow models too where there are some: the name of a built-in
            one (see memberwise.signals.collectors), or one of your own.
        early: shadow models' answers after a part of their training make it stronger, where they can be had.
        classes: it goes by classes that exclude each other: thresholds or classifiers for each of them.
        temperatures: at which it reads p_y, of the population too where it needs one.
        least_population: of so many records.
        known: some audited records' membership is revealed to it. transfer: it learns on another finished run.
        rounds: shadow models that are trained once the target was asked, on what is believed of it by then.
    """

    answers: Literal["labels", "scores", "probabilities", "logits"] = "scores"
    label: bool = True
    vectors: bool = False
    shadow_vectors: bool = False
    shadows: Literal["none", "out", "in+out"] = "none"
    training_table: bool = False
    population: bool = False
    features: bool = False
    extra: str | Collector | None = None
    known: bool = False
    transfer: bool = False
    early: bool = False
    classes: bool = False
    temperatures: tuple[float, ...] = ()
    least_population: int = 1
    rounds: bool = False

    @property
    def extra_name(self) -> str | None:
        """The name of the collector it needs, under which its answers stand in ``Answers.extra``."""
        return self.extra if self.extra is None or isinstance(self.extra, str) else self.extra.name

    @property
    def extra_words(self) -> str | None:
        """What the collector it needs asks for, in words."""
        return EXTRAS[self.extra] if isinstance(self.extra, str) else None if self.extra is None else self.extra.words

    def words(self) -> list[str]:
        """The needs in words, as ``result.json`` and ``memberwise list attacks`` state them."""
        names = {"labels": "answered label", "scores": "scores", "probabilities": "probabilities", "logits": "logits"}
        words = [names[self.answers] + (" (full vector)" if self.vectors or self.shadow_vectors else "")]
        words += ["true label"] if self.label else []
        words += {"none": [], "out": ["shadow models (OUT)"], "in+out": ["shadow models (IN and OUT)"]}[self.shadows]
        words += ["population"] if self.population else []
        words += ["the records themselves"] if self.features else []
        words += [self.extra_words] if self.extra_words else []
        words += ["revealed members and non-members"] if self.known else []
        words += ["a model on other data"] if self.transfer else []
        return words + (["more of them, trained on what was found out of the target"] if self.rounds else [])

    @property
    def of_one_class(self) -> bool:
        """It is made for one class a record, and not for several labels."""
        return bool(self.vectors or self.classes or isinstance(self.extra, str))

    def missing(self, signals: Signals) -> str | None:
        """Why the attack cannot run on this table, or None where it can."""
        kind = signals.target.kind
        if signals.several_labels and self.of_one_class:
            return "is made for one class a record; of several labels loss, lira, rmia, base and learned tell"
        if LEVELS.index(kind) < LEVELS.index(self.answers):
            return f"needs {self.answers}; the target answers {kind}"
        if self.vectors and signals.target.vectors is None:
            return "needs the target's full answers, which are not in the table"
        if self.shadows != "none" and signals.shadows is None:
            return "needs shadow models, and there are none"
        if self.shadow_vectors and (signals.shadows is None or signals.shadows.vectors is None):
            return "needs full answers of shadow models, which are not in the table"
        auxiliary = self.training_table and signals.beside is not None
        if (
            self.shadows == "in+out"
            and not auxiliary
            and not ((signals.is_in.sum(0) > 0) & (signals.is_out.sum(0) > 0)).any()
        ):
            return "needs shadow models that trained on audited records, and none did"
        if self.shadows == "out" and not (signals.is_out.sum(0) > 0).any():
            return "needs shadow models that did not train on the audited records, and there are none"
        if self.population and signals.population_target is None:
            return "needs answers on population records, and there are none"
        if self.population and self.shadows != "none" and signals.population_shadows is None:
            return "needs the shadow models' answers on population records, and there are none"
        population = signals.population_target
        if population is not None and self.population and population.records < self.least_population:
            return f"needs {self.least_population} population records, and there are {population.records}"
        if lacking := set(self.temperatures) - kept_temperatures(signals):
            words = " and ".join(f"{temperature:g}" for temperature in sorted(lacking))
            return f"needs answers at temperature {words}, which the table does not hold"
        if self.extra is not None and self.extra_name not in signals.target.extra:
            return f"needs {self.extra_words}, and they were not or cannot be had of this target"
        if self.known and (signals.known is None or not {0.0, 1.0} <= set(signals.known)):
            return "needs audited records whose membership is revealed to the attacker: --set attacks.reveal=0.5"
        if self.transfer and signals.transfer is None:
            return "needs a finished run on other data: --set attacks.transfer=FOLDER"
        if self.rounds and not signals.rounds:
            how = "" if signals.features is None else ": --cascade 16"  # nothing is trained beside saved answers
            return f"needs shadow models that are trained once the target was asked{how}"
        if self.features and (signals.features is None or signals.population_index is None):
            return "needs the records themselves, and the table has only answers about them"
        return None


@dataclass(frozen=True)
class Attack:
    """One membership attack.

    Attributes:
        name: as on the command line and in ``result.json``.
        score: ``score(signals, rng) -> (n,)`` float64. HIGHER = MORE LIKELY A MEMBER. NaN where a record cannot be
            scored (no model of a side it needs, say).
        needs: the access it assumes.
        source: paper, section or equation.
        summary: one plain sentence.
        threshold: where a record is called a member (score strictly above it): "chosen" maximises balanced accuracy
            on shadow models (else on a random half); "search" is the slides' search over the evaluated records
            (optimistic); a number is the method's own, with the meaning that ``threshold_from`` gives it.
        threshold_from: where ``threshold`` is a number: "shadows", "population", ... if the scores were scaled on them,
            "fixed" if the number needs no data at all.
        default: part of ``--attacks default``.
        tempered: it reads p_y at the table's ``temperature``.
        calibrated: of attacks whose scores are probabilities: whether these carry over to a table's target.
        teach: of attacks that train on shadow models: ``score``, in two steps, of which the first, the dear one, does
            not look at the target.
    """

    name: str
    score: Score
    needs: Needs
    source: str
    summary: str
    threshold: float | Literal["chosen", "search"] = "chosen"
    threshold_from: Literal["shadows", "population", "fixed", "revealed", "random inputs", "transfer"] = "shadows"
    default: bool = True
    tempered: bool = False
    calibrated: Callable[[Signals], bool] | None = None
    teach: Teach | None = None
