"""Markdown for where code is reviewed: a run for a job's summary, two runs for a comment on a pull request."""

from __future__ import annotations

from memberwise.assess.figures import AttackFigures
from memberwise.report import lead, sentence
from memberwise.report.compare import UNDECIDED, compared, notes
from memberwise.report.formats import DASH, rate, shown
from memberwise.report.modelcard import escaped
from memberwise.report.schema import AuditResult
from memberwise.report.sections.attacks import at_rate, grouped, rates

SIGNS = {
    "passed": "\N{WHITE HEAVY CHECK MARK}",
    "failed": "\N{CROSS MARK}",
    "inconclusive": "\N{WARNING SIGN}",
    "no limit set": "\N{INFORMATION SOURCE}",
}
# A comment on GitHub holds 65,536 characters, one on GitLab more.
MOST = 60_000


def summary(result: AuditResult) -> str:
    """One run: the verdict, what it says, the attacks (the others folded) and the warnings."""
    state = sentence.outcome(result)
    lines = [
        f"## {SIGNS[state]} Membership leakage: {state}",
        "",
        escaped(lead.verdict_sentence(result)),
        "",
        *_rules(result),
        *_figures(result),
        *_warnings(result),
        f"memberwise {escaped(result.memberwise_version)}, seed {escaped(result.seed)}, data sha256 "
        f"{escaped(result.data.sha256 or 'not stated')}.",
    ]
    return cut(lines)


def comparison(first: AuditResult, second: AuditResult, names: tuple[str, str] = ("before", "after")) -> str:
    """Two runs: what surely changed, then every figure of both, folded."""
    rows = compared(first, second, names)
    changed = [row for row in rows if row.attack != "(target)" and row.finding not in UNDECIDED]
    shown = [escaped(name) for name in names]
    heads = f"| attack | figure | {shown[0]} | {shown[1]} | finding |"
    table = [heads, "|---|---|---:|---:|---|"]
    cells = {
        id(row): "| " + " | ".join(map(escaped, (row.attack, row.figure, row.first, row.second, row.finding))) + " |"
        for row in rows
    }
    said = (
        f"{len(changed)} of {len(rows)} figures surely changed (their intervals do not overlap)."
        if changed
        else "No figure of the attacks surely changed: all intervals overlap. That is no proof that nothing changed."
    )
    lines = [
        "## Membership leakage, two runs",
        "",
        *(
            f"- {name}: {SIGNS[sentence.outcome(run)]} {sentence.outcome(run)}. {escaped(lead.lead(run))}"
            for name, run in zip(shown, (first, second), strict=True)
        ),
        "",
        said,
        "",
        *(f"- Note: {escaped(note)}" for note in notes(first, second)),
        "",
        *([*table, *(cells[id(row)] for row in changed), ""] if changed else []),
        "<details><summary>Every figure</summary>",
        "",
        *table,
        *cells.values(),
        "",
        "</details>",
    ]
    return cut(lines)


def cut(lines: list[str]) -> str:
    """The lines as text, without the rows of tables that make it longer than a comment may be."""
    kept, length, left_out = [], 0, 0
    for line in lines:
        if line.startswith("|") and length > MOST:
            left_out += 1
            continue
        length += len(line) + 1
        kept.append(line)
    return "\n".join([*kept, *([f"{left_out} rows are left out."] if left_out else [])]) + "\n"


def _rules(result: AuditResult) -> list[str]:
    signs = {True: SIGNS["passed"], False: SIGNS["failed"], None: SIGNS["inconclusive"]}
    rows = [f"| {signs[one.passed]} | `{one.rule.replace('`', '')}` | {escaped(one.reason)} |" for one in
            result.verdict.rules]  # fmt: skip
    return ["| | rule | why |", "|---|---|---|", *rows, ""] if rows else []


def _figures(result: AuditResult) -> list[str]:
    """The headline and the baseline open, the others folded."""
    columns = rates(result)
    heads = ["attack", "AUC", *(f"TPR at {rate(fpr)} FPR" for fpr in columns), "balanced accuracy"]
    table = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]

    def row(attack: AttackFigures) -> str:
        figures = [shown(attack.auc, "number"), *(shown(at_rate(attack, fpr)) for fpr in columns)]
        figures.append(shown(attack.balanced_accuracy))
        return "| " + " | ".join([escaped(attack.name), *(str(one or DASH) for one in figures)]) + " |"

    groups = grouped(result.attacks, result.headline)
    if not groups:
        return []
    first, other_attacks = groups[0], [attack for group in groups[1:] for attack in group.attacks]
    said = f"Each with its {sentence.interval_words(result)}."
    if temperatures := sentence.temperature_words(result):
        said += f" By p_y at {temperatures}."
    folded = [
        "<details><summary>Every other attack</summary>",
        "",
        *table,
        *map(row, other_attacks),
        "",
        "</details>",
        "",
    ]
    return [said, "", *table, *map(row, first.attacks), "", *(folded if other_attacks else [])]


def _warnings(result: AuditResult) -> list[str]:
    if not result.warnings:
        return []
    items = [f"- {escaped(one.message)} ({escaped(one.code)})" for one in result.warnings]
    return [f"<details><summary>{len(items)} warnings</summary>", "", *items, "", "</details>", ""]
