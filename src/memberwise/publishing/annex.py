"""The annex of an evidence pack: what was run and what was not, beside what two texts ask to be looked at.

EDPB Opinion 28/2024 of 17 December 2024, paragraphs 46, 55 and 58, and OWASP AISVS (C11.3, membership inference), in
our own words: the annex maps, and claims no compliance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memberwise.report import lead, sentence
from memberwise.report.formats import count, plain, spoken
from memberwise.report.modelcard import escaped
from memberwise.report.schema import AuditResult
from memberwise.report.sections.attacks import grouped
from memberwise.types.parts import Plain

NO_CLAIM = (
    "This pack claims no compliance with any law, opinion or standard, and is no legal advice. It says what was "
    "measured, how, and what was not; whether that suffices is for the controller and the authorities to judge."
)
IN_SCOPE, OUT, UNKNOWN = "in scope", "out of scope", "not known here"
NOT_DECLARED = "not declared"
TRAINED_HERE = "trained here"


@dataclass(frozen=True)
class Row:
    """One thing that a text asks about, and what this audit has to say of it."""

    text: str
    asks: str
    status: str
    here: str


def rows(result: AuditResult) -> list[Row]:
    """The whole mapping."""
    return [*_edpb_context(result), *_edpb_attacks(result), *_edpb_documents(result), *_aisvs(result)]


def annex(result: AuditResult, files: Sequence[str], pdf: str) -> str:
    """The annex as Markdown.

    Args:
        files: of the pack. pdf: how the PDF was made, or why there is none.
    """
    parts = {row.text.split(",")[0]: [] for row in rows(result)}  # type: dict[str, list[Row]]
    for row in rows(result):
        parts[row.text.split(",")[0]].append(row)
    lines = ["# Annex: what was run, and what was not", "", f"**{NO_CLAIM}**", ""]
    lines += [escaped(lead.verdict_sentence(result)), "", "## Assumptions", ""]
    lines += [f"- {key}: {escaped(value)}" for key, value in facts(result)]
    for name, rows_of_part in parts.items():
        lines += ["", f"## {name}", "", "| where | what is asked about | status | in this audit |", "|---|---|---|---|"]
        lines += [
            f"| {escaped(row.text.partition(', ')[2])} | {escaped(row.asks)} | {row.status} | {escaped(row.here)} |"
            for row in rows_of_part
        ]
    lines += ["", "## Attacks that ran", ""]
    for group in grouped(result.attacks, result.headline):
        lines.append(f"- {escaped(group.name)}: {', '.join(escaped(one.name) for one in group.attacks)}")
    lines += ["", "## Attacks that did not run", ""]
    lines += [f"- {escaped(one.name)}: {escaped(one.reason)}" for one in result.skipped] or ["- none was skipped"]
    lines += ["", "## Limits", "", *(f"- {escaped(limit)}" for limit in sentence.limits(result))]
    lines += [f"- Warning: {escaped(warning.message)}" for warning in result.warnings]
    lines += ["", "## Files", "", *(f"- {escaped(name)}" for name in files), f"- PDF: {escaped(pdf)}", ""]
    return "\n".join(lines)


def facts(result: AuditResult) -> list[tuple[str, str]]:
    """What the figures rest on, name and value."""
    data, target, release = result.data, result.target, release_of(result)
    return [
        ("target", f"{target.architecture or target.kind or 'not stated'}, data {data.source or 'not stated'}"),
        ("data sha256", str(data.sha256 or "not stated")),
        ("audited", f"{count(data.members)} members, {count(data.nonmembers)} non-members"),
        ("shadow models", sentence.shadow_models(result) if result.shadow else "none"),
        ("seed", str(result.seed)),
        ("access assumed", "; ".join(sentence.assumptions(result)) or "not stated"),
        *((f"release: {key.replace('_', ' ')}", value) for key, value in release.items()),
        ("measured with", f"memberwise {result.memberwise_version}, {result.created}"),
    ]


def release_of(result: AuditResult) -> dict[str, str]:
    """The release context that the user declares in the study's table ``release``."""
    declared: Plain = (result.study.get("release") or {}) if isinstance(result.study, dict) else {}
    keys = ("context", "audience", "access", "purpose")
    return {key: str(declared.get(key) or NOT_DECLARED) for key in keys}


def _edpb_context(result: AuditResult) -> list[Row]:
    release, text = release_of(result), "EDPB Opinion 28/2024, paragraph 46"
    declared = "; ".join(f"{key} {value}" for key, value in release.items() if value != NOT_DECLARED)
    assumed = "; ".join(sentence.assumptions(result)) or "not stated"
    return [
        Row(
            text,
            "the context in which the model is released, as testing has to fit who can reach it",
            "declared by the user" if declared else NOT_DECLARED,
            declared or "the study has no table release (context, audience, access, purpose)",
        ),
        Row(text, "what somebody who attacks it may have and know", IN_SCOPE, f"headline attack: {assumed}"),
    ]


def _edpb_attacks(result: AuditResult) -> list[Row]:
    text = "EDPB Opinion 28/2024, paragraph 55"
    named = [attack.name for attack in result.attacks]
    attack = result.attack()
    tpr = sentence.leading_rate(attack)
    figure = "no figure" if tpr is None else f"TPR at {100 * tpr.fpr:g}% FPR {spoken(tpr, 'share', 'interval')}"
    inside = f"{count(len(named))} attacks; headline {result.headline}: {figure}"
    nothing = "memberwise has no such attack; nothing here speaks of it"
    return [
        Row(f"{text} (i)", "membership inference", IN_SCOPE if named else "not run", inside),
        Row(f"{text} (i)", "attribute inference", OUT, nothing),
        Row(f"{text} (ii)", "exfiltration", OUT, nothing),
        Row(f"{text} (iii)", "regurgitation of training data", OUT, f"{nothing}; the model is a classifier"),
        Row(f"{text} (iv)", "model inversion", OUT, nothing),
        Row(f"{text} (v)", "reconstruction", OUT, nothing),
        Row(
            text,
            "scope, number and quality of the tests",
            IN_SCOPE,
            f"intervals, n and method stand at every figure; {sentence.shadow_models(result)}; every key of the study "
            "is in study.toml",
        ),
        Row(text, "how often tests are repeated", OUT, "one run; repetition is the user's to arrange"),
    ]


def _edpb_documents(result: AuditResult) -> list[Row]:
    text = "EDPB Opinion 28/2024, paragraph 58"
    defences = [str(one.get("name")) for one in result.study.get("answer") or [] if isinstance(one, dict)]
    training = (result.study.get("training") or {}).get("defence")
    taken = [*defences, *([str(training if isinstance(training, str) else training.get("name"))] if training else [])]
    return [
        Row(text, "a data protection impact assessment, and why none was needed", OUT, "the controller's"),
        Row(text, "advice of the data protection officer", OUT, "the controller's"),
        Row(
            text,
            "measures that lower the likelihood of identification",
            IN_SCOPE,
            f"defences in the study: {', '.join(taken)}" if taken else "no defence in the study",
        ),
        Row(
            text,
            "documentation of the model's resistance to re-identification",
            IN_SCOPE,
            "report, figures as result.json, curves and this annex, for membership inference alone",
        ),
        Row(text, "documentation handed to those who deploy the model", "partly", "model_card.md is a section for it"),
    ]


def _aisvs(result: AuditResult) -> list[Row]:
    text = "OWASP AISVS, C11.3"
    answer = [str(one.get("name")) for one in result.study.get("answer") or [] if isinstance(one, dict)]
    training = (result.study.get("training") or {}).get("defence")
    private = "dp-sgd" in str(training)
    ours = result.target.kind == TRAINED_HERE
    bound = result.epsilon
    kinds = {group.name for group in grouped(result.attacks, "")}
    said = (
        "no bound on epsilon is stated"
        if bound is None
        else f"measured lower bound {plain(bound.value)} ({bound.basis})"
    )
    simulated = [
        name
        for name, ran in (
            ("shadow models", any("Shadow" in kind for kind in kinds)),
            ("likelihood ratios", any(one.name.startswith("lira") for one in result.attacks)),
            ("label-only", any(one.name.startswith("label-only") or one.name == "gap" for one in result.attacks)),
        )
        if ran
    ]
    return [
        Row(
            f"{text}.1",
            "outputs calibrated or perturbed",
            IN_SCOPE if answer else "not in this study" if ours else UNKNOWN,
            f"output defences: {', '.join(answer)}"
            if answer
            else "answers are given as the model gives them"
            if ours
            else "the target came as it is: the study adds nothing to its answers",
        ),
        Row(
            f"{text}.2",
            "training with differential privacy and a documented epsilon",
            UNKNOWN if not ours else IN_SCOPE if private else "not in this study",
            f"the target came trained: with what, the study cannot tell; {said}"
            if not ours
            else f"DP-SGD in the study; {said}"
            if private
            else f"the study trains without it; {said}",
        ),
        Row(
            f"{text}.3",
            "simulated membership inference beside random guessing",
            IN_SCOPE if simulated else "not run",
            f"{', '.join(simulated) or 'none'}; every figure stands beside what guessing gives",
        ),
    ]
