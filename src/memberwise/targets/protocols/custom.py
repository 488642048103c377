"""A function of the user's own in a protocol's place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from memberwise.errors import MemberwiseError, TargetError
from memberwise.study.entrypoint import raised_at
from memberwise.targets.protocols.base import Outputs, Sent, UnknownForm, by_record
from memberwise.targets.sending import SHOWN, TOO_MANY, WHERE, Again, Answered, Failed, Outcome, delay_of


class FunctionSender:
    """Asks a function of the user's: ``ask(records) -> answers``, or outputs by name.

    Connection errors and time-outs, and errors with a ``response`` of status 429 or 5xx, are tried again.
    """

    def __init__(self, ask: Callable[[Sent], object]) -> None:
        self.ask = ask

    def send(self, records: Sent) -> Outcome:
        """One try, about ``(n, ...)`` records."""
        begun = time.perf_counter()
        try:
            answers = self.ask(records.copy())
            return Answered(outputs_of(answers, len(records)), time.perf_counter() - begun)
        except MemberwiseError as error:
            return Failed(error)
        except Exception as error:
            reply = getattr(error, "response", None)
            code = getattr(reply, "status_code", None)
            text = f"{type(error).__name__}: {str(error)[:SHOWN]}"
            if isinstance(code, int) and (code == TOO_MANY or code >= 500):
                headers = getattr(reply, "headers", None) or {}
                delay = delay_of(headers.get("retry-after") or headers.get("Retry-After"))
                return Again(text, delay, counted=code >= 500, busy=code == TOO_MANY)
            if isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__.endswith("Timeout"):
                return Again(text)
            return Failed(
                TargetError(
                    "the function that asks the served model fails",
                    expected="figures by class or labels, one a record",
                    found=text,
                    where=raised_at(error, WHERE),
                )
            )

    def close(self) -> None:
        """Nothing is open."""


def outputs_of(answers: object, count: int) -> Outputs:
    """What a function answers, as outputs by name.

    Raises:
        TargetError: no arrays, or not one answer a record.
    """
    if hasattr(answers, "detach"):
        answers = answers.detach().cpu().numpy()
    if isinstance(answers, pd.DataFrame):
        answers = {str(name): answers[name].to_numpy() for name in answers}
    values = {k: _listed(v) for k, v in answers.items()} if isinstance(answers, Mapping) else _listed(answers)
    try:
        return by_record(values, count, "answers")
    except UnknownForm as error:
        raise TargetError(
            "the function that asks the served model answers in another form",
            expected=f"an array of {count} records",
            found=str(error),
            where=WHERE,
        ) from None


def _listed(values: object) -> object:
    return np.asarray(values).tolist() if hasattr(values, "__array__") or isinstance(values, tuple) else values
