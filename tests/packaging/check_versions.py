"""The wheel in fresh environments: with the lowest and with the highest versions that ``pyproject.toml`` allows.

    python tests/packaging/check_versions.py lowest|highest [--python python3.12] [--extras sklearn,onnx] [--keep DIR]

Builds the wheel, installs it (the lowest versions by ``uv pip compile --resolution lowest-direct``, of direct
dependencies alone), asks ``pip check``, and has ``smoke.py`` use it. Needs uv and a package index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXTRAS = "parquet,onnx,export,sklearn,boosting,dp,pate,endpoint,serve,mlflow,evidence"


def carry_out(*command: str | Path, **more: object) -> None:
    """Say a command, carry it out, and end with its exit code if it fails."""
    print("+", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if code := subprocess.run([*map(str, command)], env=environment, **more).returncode:  # type: ignore[call-overload]
        sys.exit(code)


def check(resolution: str, python: str, extras: str, folder: Path) -> None:
    """Build, install, check, use."""
    carry_out(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=REPOSITORY)
    wheel = next((folder / "dist").glob("*.whl"))
    (folder / "wanted.in").write_text(f"memberwise[{extras}] @ {wheel.as_uri()}\n", "utf-8")
    how = "lowest-direct" if resolution == "lowest" else "highest"
    pins = folder / "pins.txt"
    uv = [sys.executable, "-m", "uv"]
    # Of the wheel's own dependencies, which "direct" means here, not of a requirement on the wheel.
    wanted = [arg for extra in extras.split(",") for arg in ("--extra", extra)]
    source = REPOSITORY / "pyproject.toml"
    carry_out(*uv, "pip", "compile", "-q", "--python", python, "--resolution", how, *wanted, source, "-o", pins)
    carry_out(*uv, "venv", "-q", "--seed", "--python", python, folder / "venv")
    inside = folder / "venv" / "bin" / "python"
    carry_out(*uv, "pip", "install", "-q", "--python", inside, "-r", pins, wheel)
    carry_out(inside, "-m", "pip", "check")
    carry_out(inside, "-W", "ignore", HERE / "smoke.py", cwd=folder)
    print(f"{resolution} versions on {python}: all is well", flush=True)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("resolution", choices=["lowest", "highest"])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--extras", default=EXTRAS)
    parser.add_argument("--keep", type=Path, help="a folder in which all is made and left")
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        check(given.resolution, given.python, given.extras, given.keep.resolve())
        return
    with tempfile.TemporaryDirectory(prefix="memberwise-versions-") as folder:
        check(given.resolution, given.python, given.extras, Path(folder))


if __name__ == "__main__":
    main()
