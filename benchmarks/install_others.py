"""Install the tools we compare with into their own environment: ``python install_others.py FOLDER``.

Each is tried on its own, so that one that fails leaves the rest; what happened is written to FOLDER/installed.json.
They come without their declared dependencies, of which some are several GB (or CUDA builds) and none of those has a
part in training; what their trainers import is named here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

# torch on its own and first: among other requirements it resolves to the newest build with several GB of CUDA.
SHARED = [
    ["torch==2.13.0"],
    ["numpy", "scipy", "scikit-learn", "pandas<3", "matplotlib", "tqdm", "pillow", "setuptools"],
    ["--no-deps", "torchvision==0.28.0"],
]
TOOLS = {
    "adversarial-robustness-toolbox": ["six"],
    "privacyguard-platform": [],
    "sacroml": ["fpdf", "pypdf", "pyyaml", "multiprocess"],
    "amuletml": ["gdown"],
    # For its auditing statistics alone, which use no jax.
    "jax-privacy": ["--no-deps", "dp-accounting", "absl-py", "attrs", "dm-tree", "immutabledict"],
}


def main() -> int:
    folder = Path(sys.argv[1])
    venv.create(folder, with_pip=True)
    for packages in SHARED:
        failure = install(folder, packages)
        if failure:
            sys.stderr.write(f"{packages}: {failure}\n")
            return 1
    outcome = {}
    for tool, needs in TOOLS.items():
        failure = install(folder, ["--no-deps", tool]) or (install(folder, needs) if needs else "")
        outcome[tool] = {"installed": not failure, "failure": failure}
        sys.stdout.write(f"{tool}: {failure or 'installed'}\n")
    (folder / "installed.json").write_text(json.dumps(outcome, indent=2) + "\n")
    return 0


def install(folder: Path, packages: list[str]) -> str:
    """Install; an empty text, or the last lines of what went wrong."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-3:])


if __name__ == "__main__":
    sys.exit(main())
