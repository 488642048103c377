"""A section for a model card: what was audited, the headline figures with their intervals, the limits."""

from __future__ import annotations

import re

from memberwise.report import lead, sentence
from memberwise.report.formats import count, percent, without_folder
from memberwise.report.schema import AuditResult

# Characters which Markdown (or HTML within it) gives a meaning.
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>&~])")


def escaped(value: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def model_card(result: AuditResult) -> str:
    """The section as Markdown."""
    data, target = result.data, result.target
    name = without_folder(target.architecture or target.kind or "classifier")
    source = without_folder(data.source or "unnamed data")
    audited = (
        f"{escaped(name)}, trained on {escaped(source)}: {count(data.members)} of its training records (members) and "
        f"{count(data.nonmembers)} non-members"
    )
    canaries = lead.canaries_of(result)
    worst = f", the worst case ({count(canaries)} canaries)" if canaries else ""
    models = f", with {sentence.shadow_models(result)}" if result.shadow else ", without shadow models"
    lines = [
        f"## Privacy: membership inference{worst}",
        "",
        escaped(lead.verdict_sentence(result)),
        "",
        f"**Audited**: {audited}{models}.",
        "",
        f"| {escaped(result.headline)} | value | {sentence.interval_words(result)} |",
        "|---|---:|---:|",
        *(f"| {key.label} | {key.figure.value} | {key.figure.interval} |" for key in sentence.key_figures(result)),
        "",
        f"Accuracy of the model: {percent(target.train_accuracy)} on training records, "
        f"{percent(target.test_accuracy)} on test records.",
        "",
        *([escaped(result.bound.sentences), ""] if result.bound else []),
        "**The attacker is assumed to be somebody who**",
        "",
        *(f"- {escaped(need)}" for need in sentence.assumptions(result)),
        "",
        "**Limits**",
        "",
        *(f"- {escaped(limit)}" for limit in sentence.limits(result)),
        f"- {escaped(sentence.epsilon_sentence(result))}",
        *(f"- Warning: {escaped(warning.message)}" for warning in result.warnings),
        "",
        f"Measured with memberwise {escaped(result.memberwise_version)}, seed {escaped(result.seed)}, "
        f"{escaped(result.created)}; data sha256 {escaped(data.sha256 or 'not stated')}.",
    ]
    return "\n".join(lines) + "\n"
