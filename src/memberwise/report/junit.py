"""The gate as JUnit XML: one test case a rule, so that a CI server shows it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from memberwise.report import lead, sentence
from memberwise.report.formats import number
from memberwise.report.schema import AuditResult
from memberwise.statistics.gate import RuleOutcome

# XML 1.0 has no way to write these at all, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(result: AuditResult) -> str:
    """The XML: broken rules are failures, undecided ones are skipped; without a gate one passed case, "audit"."""
    cases = _cases(result)
    outcomes = [passed for _, passed, _ in cases]
    suite = ET.Element("testsuite", name="memberwise", tests=str(len(cases)), errors="0")
    suite.set("failures", str(outcomes.count(False)))
    suite.set("skipped", str(outcomes.count(None)))
    suite.set("time", f"{number(result.seconds) or 0:.3f}")
    suite.set("timestamp", _clean(result.created or ""))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result):
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    for name, passed, reason in cases:
        case = ET.SubElement(suite, "testcase", classname="memberwise.gate", name=_clean(name), time="0")
        if not passed:
            kind = "skipped" if passed is None else "failure"
            ET.SubElement(case, kind, message=_clean(reason)).text = _clean(lead.lead(result))
    ET.SubElement(suite, "system-out").text = _clean(lead.verdict_sentence(result))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(result: AuditResult) -> list[tuple[str, bool | None, str]]:
    """Name, outcome and reason of each rule; one for all of them where the result (of version 1) does not tell."""
    verdict = result.verdict
    if not verdict.gate:
        return [("audit", True, "")]
    rules = verdict.rules or (RuleOutcome(verdict.gate, verdict.passed, verdict.reason),)
    return [(rule.rule, rule.passed, rule.reason) for rule in rules]


def _properties(result: AuditResult) -> list[tuple[str, str]]:
    properties = [
        ("memberwise_version", result.memberwise_version),
        ("seed", str(result.seed)),
        ("data", str(result.data.source)),
        ("sha256", str(result.data.sha256)),
        ("headline", result.headline),
        ("family", ", ".join(result.family.names if result.family else ())),
        ("canaries", str(lead.canaries_of(result) or 0)),
    ]
    properties += [(key.label, str(key.figure)) for key in sentence.key_figures(result)]
    return properties + [(f"warning {warning.code}", warning.message) for warning in result.warnings]


def _clean(text: object) -> str:
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(text))
