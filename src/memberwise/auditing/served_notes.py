"""What asking a served model showed: warnings, and the facts of the report."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from memberwise.auditing.prepare import Prepared
from memberwise.errors import Note
from memberwise.report.schema import EndpointFacts
from memberwise.targets.asking import ANSWERED, REFUSED, RETRIES, SECONDS, SENT
from memberwise.targets.changes import Changes
from memberwise.targets.endpoint import EXAMPLES, FOUND, Endpoint
from memberwise.targets.served_answers import Coarseness
from memberwise.types.arrays import Arrays


def served_notes(prepared: Prepared, shadows: Arrays | None) -> list[Note]:
    """What is to be said of a served model, once it and the shadow models were asked."""
    endpoint = prepared.target
    if not isinstance(endpoint, Endpoint):
        return []
    notes = [*endpoint.noticed, Note("target-endpoint", f"the target is served at {endpoint.shown}: {_kind(endpoint)}")]
    at_once, later = endpoint.changes("at_once"), endpoint.changes("meanwhile")
    if at_once is not None and at_once.changed:
        message = "the server answers the same question otherwise at once: noise, or several models. "
        notes.append(
            Note("endpoint-noise", f"{message}{_sentence(at_once)}; each question counts with its first answer")
        )
    if later is not None and later.changed and not (at_once and at_once.changed >= later.changed):
        message = "the server's answers changed during the audit: a new version, or a coarser tier. "
        notes.append(
            Note("endpoint-changed", f"{message}{_sentence(later)}; the figures mix what was asked before and after")
        )
    seen, labels = endpoint.coarseness()
    if endpoint.store.said("coarser") is not None:
        total = len(endpoint.store)
        what = f"{labels:,} of {total:,} answers are labels alone" if labels else "some answers do not sum to 1"
        notes.append(
            Note(
                "endpoint-coarser",
                f"the server's answers turned coarser on the way: {what}, and all are taken as {endpoint.kind}. With a "
                "larger budget there, and another --out, they may all be finer",
            )
        )
    if endpoint.spent is not None:
        notes.append(
            Note(
                "endpoint-budget",
                f"{endpoint.spent.problem} ({endpoint.spent.found}): attacks that needed further ones were skipped; "
                "with a larger budget the same command continues",
            )
        )
    endpoint.close()
    return [*notes, *_policy_notes(prepared, endpoint, seen, shadows)]


def endpoint_facts(prepared: Prepared) -> EndpointFacts | None:
    """What the report says of how it was asked; None where the target is not served."""
    endpoint = prepared.target
    if not isinstance(endpoint, Endpoint):
        return None
    counts, (seen, labels) = endpoint.counts(), endpoint.coarseness()
    answered = counts[ANSWERED]
    at_once, later = endpoint.changes("at_once"), endpoint.changes("meanwhile")
    facts = EndpointFacts(
        address=endpoint.shown,
        protocol=endpoint.config.protocol,
        model=_text(endpoint.store.said("model")),
        version=_text(endpoint.store.said("version")),
        answers=endpoint.kind,
        told=_told(endpoint),
        coarseness=None if seen is None else seen.words() or None,
        labels=labels,
        questions=round(counts[SENT]),
        answered=round(answered),
        records=len(endpoint.store),
        from_store=round(counts[FOUND]),
        retries=round(counts[RETRIES]),
        refused=round(counts[REFUSED]),
        max_queries=endpoint.config.max_queries,
        seconds_per_question=round(counts[SECONDS] / answered, 6) if answered else None,
        asked_again=0 if at_once is None else at_once.records,
        changed_at_once=None if at_once is None else at_once.changed,
        changed_meanwhile=None if later is None else later.changed,
        largest_change=max((c.largest for c in (at_once, later) if c and c.largest is not None), default=None),
        policy=tuple(one.name for one in prepared.study.answer) if prepared.study.target.policy else None,
    )
    endpoint.close()
    return facts


def _policy_notes(
    prepared: Prepared, endpoint: Endpoint, seen: Coarseness | None, shadows: Arrays | None
) -> list[Note]:
    """How the server's answers and the shadow models' go together."""
    names = ", ".join(one.name for one in prepared.study.answer)
    if prepared.study.answer:
        notes = [
            Note(
                "endpoint-policy",
                f"shadow models answer through the policy ({names}); the server's answers are taken as they come: it "
                "has applied its own",
            )
        ]
        behind = None if endpoint.after is None else endpoint.after("probabilities")
        if behind == "labels" and endpoint.kind != "labels":
            message = f"the policy answers labels alone, and the server answers {endpoint.kind}: it is not behind it"
            notes.append(Note("endpoint-not-by-policy", message))
        return notes
    vectors = None if shadows is None else shadows.get("audited.vectors")
    coarser = endpoint.kind == "labels" and vectors is not None
    if shadows is not None and seen is not None and vectors is not None and endpoint.kind != "labels":
        theirs = vectors[:, : 2 * EXAMPLES].reshape(-1, vectors.shape[-1])
        if str(shadows["kind"][0]) == "logits" and endpoint.kind != "logits":
            theirs = softmax(theirs.astype(np.float64), axis=-1)
        coarser = seen.coarser_than(Coarseness.of(theirs))
    if not coarser:
        return []
    words = "labels alone" if endpoint.kind == "labels" or seen is None else seen.words()
    return [
        Note(
            "endpoint-without-policy",
            f"the server's answers are coarser than the shadow models' ({words}), and no policy is given: attacks by "
            "unlike answers look weaker than they are. --policy policy.toml, or answer = [...] in the study, lets "
            "shadow models answer in the same way",
        )
    ]


def _told(endpoint: Endpoint) -> str:
    if endpoint.config.answers != "auto":
        return "by the study"
    return "by the policy" if endpoint.after is not None and endpoint.kind == "scores" else "by the answers"


def _kind(endpoint: Endpoint) -> str:
    if endpoint.config.answers != "auto":
        return f"its answers are {endpoint.kind}, as the study says"
    why = {
        "probabilities": "no row is negative and all sum to 1",
        "scores": "all are between 0 and 1, and not all sum to 1",
        "logits": "some lie outside 0 to 1",
        "labels": "one a record",
    }[endpoint.kind]
    if endpoint.after is not None and endpoint.kind == "scores":
        why = "the policy changes them"
    return f"its answers are taken as {endpoint.kind} ({why})"


def _sentence(changes: Changes) -> str:
    text = changes.words()
    return text[0].upper() + text[1:]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
