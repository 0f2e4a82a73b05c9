"""`hourbook doctor`: what is wrong, and what to do."""

import shutil
import textwrap
from dataclasses import asdict
from typing import Final

from hourbook.cli.app import installed_version
from hourbook.cli.exit_codes import FOUND_WRONG, OK
from hourbook.cli.options import HomeOption, JsonOption
from hourbook.cli.out import emit, emit_json
from hourbook.doctor import Finding, examine
from hourbook.doctor_probe import probe
from hourbook.home import find_home
from hourbook.words import visible

__all__ = ["doctor"]

_MARKS: Final = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


def doctor(*, json: JsonOption = False, home: HomeOption = None) -> int:
    """Check everything that is often wrong, and say what to do. Exits 1 when something is wrong.

    A warning does not change the exit code: it works, but perhaps not as you think.

    Example: `hourbook doctor --json | jq -c '.checks[] | select(.level != "ok")'`
    """
    findings = examine(probe(find_home(home), installed_version()))
    is_well = all(finding.level != "wrong" for finding in findings)
    if json:
        emit_json({"ok": is_well, "checks": [asdict(finding) for finding in findings]})
    else:
        for line in _lines(findings):
            emit(line)
    return OK if is_well else FOUND_WRONG


def _lines(findings: list[Finding]) -> list[str]:
    width = max(len(finding.name) for finding in findings)
    margin = " " * (width + 11)
    lines = []
    for finding in findings:
        head = f"{_MARKS[finding.level]}  {finding.name:<{width}}  "
        lines += _wrapped(head, margin, visible(finding.text))
        if finding.remedy and finding.level != "ok":
            lines += _wrapped(f"{margin}-> ", f"{margin}   ", finding.remedy)
    return lines


def _wrapped(head: str, margin: str, text: str) -> list[str]:
    """Break a text at the edge of the terminal, under its own beginning."""
    columns = max(60, shutil.get_terminal_size(fallback=(10_000, 24)).columns)
    return textwrap.wrap(
        text,
        columns,
        initial_indent=head,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
