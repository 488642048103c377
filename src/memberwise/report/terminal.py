"""The result on a terminal: a table, the warnings, the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from memberwise.report import lead, sentence
from memberwise.report.formats import DASH, Unit, rate, shown
from memberwise.report.schema import AuditResult
from memberwise.report.sections.attacks import rates
from memberwise.report.sections.registry import terminal_lines
from memberwise.statistics import Estimate, TprAtFpr

MARKS = {"yes": "", "weak": "~", "no": "?"}
UNCALIBRATED = "^"
WIDTH = 100
COLOURS = {"passed": "green", "failed": "red", "inconclusive": "yellow", "no limit set": "default"}


def print_result(result: AuditResult, console: Console) -> None:
    """Print the table of attacks, canaries and targets in turn, the warnings, the verdict; plain text in a file."""
    width = min(WIDTH, console.width)
    table = attack_table(result, stacked=False)
    if Measurement.get(console, console.options.update(width=10 * WIDTH), table).maximum > width:
        table = attack_table(result, stacked=True)
    console.print(table, width=width)
    for line in _legend(result):
        console.print(Text(line, style="dim"), width=width)
    skipped = [entry.name for entry in result.skipped]
    if skipped:
        console.print(Text(f"skipped (the report says why): {', '.join(skipped)}", style="dim"), width=width)
    for line in terminal_lines(result):
        console.print(Text(f"\n{line}"), width=width)
    warnings = result.warnings
    if warnings:
        console.print(Text(f"\n{len(warnings)} warning{'s' if len(warnings) > 1 else ''}", style="yellow"))
        for warning in warnings:
            console.print(Text(f"  {warning.code}: {warning.message}"), width=width)
    state = sentence.outcome(result)
    verdict = Text.assemble("\n", (state.upper(), f"bold {COLOURS[state]}"), ". ", lead.verdict_sentence(result))
    console.print(verdict, width=width)


def attack_table(result: AuditResult, *, stacked: bool) -> Table:
    """A row an attack, the headline marked; ``stacked`` puts each interval on a line of its own."""
    columns = rates(result)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if stacked else 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("attack", no_wrap=True)
    for name in ("AUC", *(f"TPR@{rate(fpr)}" for fpr in columns), "accuracy"):
        table.add_column(name, justify="right")
    for attack in result.attacks:
        rows = {row.fpr: row for row in attack.tpr_at_fpr}
        cells = [_cell(attack.auc, stacked, "number")]
        cells += [_cell(rows.get(fpr), stacked) for fpr in columns]
        cells.append(_cell(attack.balanced_accuracy, stacked))
        headline = attack.name == result.headline
        mark = UNCALIBRATED if attack.calibrated is False else ""
        table.add_row(Text(("* " if headline else "  ") + attack.name + mark), *cells, style="bold" if headline else "")
    return table


def _cell(estimate: Estimate | None, stacked: bool, unit: Unit = "share") -> Text:
    """The value, its mark and its interval, in per cent without the sign."""
    figure = shown(estimate, unit)
    if estimate is None or figure is None:
        return Text(DASH, style="dim")
    value = figure.value.rstrip("%") + (MARKS[estimate.resolvable] if isinstance(estimate, TprAtFpr) else "")
    interval = figure.interval.rstrip("%").replace("no interval", "no int.")
    return Text.assemble(value, "\n" if stacked else " ", (interval, "dim not bold"))


def _legend(result: AuditResult) -> list[str]:
    marks = {row.resolvable for attack in result.attacks for row in attack.tpr_at_fpr}
    lines = [
        f"* headline; TPR and balanced accuracy in per cent, each with its {sentence.interval_words(result)}",
        "~ fewer than ten false positives expected: rough" if "weak" in marks else "",
        "? too few non-members for a valid interval" if "no" in marks else "",
    ]
    lines.append(sentence.temperature_words(result))
    if any(attack.calibrated is False for attack in result.attacks):
        lines.append(f"{UNCALIBRATED} uncalibrated: its scores order records, but are no probabilities")
    optimistic = [a.name for a in result.attacks if "optimistic" in sentence.threshold_words(a)]
    if optimistic:
        lines.append(f"accuracy optimistic (threshold chosen on the audited records): {', '.join(optimistic)}")
    return [line for line in lines if line]
