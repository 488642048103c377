"""A page as PDF, printed by Chromium where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
MOST_SECONDS = 180


def print_to_pdf(page: Path) -> tuple[bytes | None, str]:
    """The PDF's bytes and by what it was printed, or None and why there is none; the page is asked for nothing else."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        return None, "there is no Chromium on this machine; print report.html from any browser"
    with tempfile.TemporaryDirectory(prefix="memberwise-pdf-") as place:
        target = Path(place) / "report.pdf"
        command = [
            program, "--headless", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
            "--no-first-run", "--no-pdf-header-footer", f"--user-data-dir={place}/profile", f"--print-to-pdf={target}",
            page.resolve().as_uri(),
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium's own sandbox refuses root; the page is ours, and offline
        try:
            done = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"{Path(program).name} printed nothing ({type(error).__name__})"
        if done.returncode or not target.is_file():
            return None, f"{Path(program).name} printed nothing (exit code {done.returncode})"
        return target.read_bytes(), f"report.pdf, printed by {Path(program).name}"
