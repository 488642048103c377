"""A reproduction from its name to its claim file."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from memberwise.models.processors import processor_name
from memberwise.reproduce.bench import Bench, choose_data
from memberwise.reproduce.claim import Claim, Findings, Row, judged
from memberwise.reproduce.joining import check_joinable, join
from memberwise.reproduce.plots import draw
from memberwise.reproduce.provenance import settings_of
from memberwise.reproduce.published import published
from memberwise.reproduce.reproduction import Reproduction, Size
from memberwise.signals.progress import Progress, Silent
from memberwise.store.files import write_text
from memberwise.study.reading import check_ray_address, make_study, put
from memberwise.training.engines.registry import EngineSession, find_engine

CLAIM = "claim.json"
PACKAGES = ("memberwise", "torch", "numpy", "scipy", "scikit-learn")
# As many as it takes to tell a spread; whether a reproduction runs at all, one tells.
SEEDS: dict[Size, tuple[int, ...]] = {"smoke": (1,), "quick": (1, 2, 3), "full": (1, 2, 3)}


def run_reproduction(
    reproduction: Reproduction,
    size: Size = "quick",
    *,
    seeds: Sequence[int] | None = None,
    device: str = "auto",
    engine: Mapping[str, object] = MappingProxyType({}),
    out: str | Path | None = None,
    others: Sequence[Claim] = (),
    progress: Progress | None = None,
    announce: Callable[[str], None] = lambda label: None,
) -> tuple[Claim, Path]:
    """Carry out a reproduction; ``claim.json`` and its plots are written into the folder that comes back with it.

    Each seed has a folder of its own in it, with a claim of its own. Published figures that no row of ours answers are
    kept, as not run.

    Args:
        seeds: one run for each; three of them (a smoke test: one) where there are none.
        engine: study keys of where shadow models train, such as ``{"engine.name": "ray"}``.
        others: claims of one further seed each, run before or elsewhere, which the claim takes in.

    Raises:
        MemberwiseError: the data are not at hand, an audit failed, or the others do not go with these seeds.
    """
    data, seeds = choose_data(reproduction), tuple(seeds or SEEDS[size])
    folder = Path(out or f"runs/reproduce/{reproduction.name}-{size}")
    check_engine(engine)
    alike = {"name": reproduction.name, "size": size, "settings": settings_of(reproduction.name, size)}
    check_joinable(others, alike, seeds)  # before hours are spent
    session = EngineSession()

    def of_seed(seed: int) -> Bench:
        def label_seed(label: str) -> None:
            announce(label if len(seeds) == 1 else f"seed {seed}: {label}")

        return Bench(
            reproduction,
            size,
            seed,
            device,
            folder / f"seed-{seed}",
            data,
            progress or Silent(),
            label_seed,
            engine,
            session,
        )

    claims = list(others)
    with session:
        for seed in seeds:
            claims.append(_claim(of_seed(seed)))
            claims[-1].save(folder / f"seed-{seed}" / CLAIM)
    claim = join(claims)
    for plot in claim.findings.plots:
        write_text(folder / f"{plot.name}.svg", draw(plot))
    claim.save(folder / CLAIM)
    return claim, folder


def _claim(bench: Bench) -> Claim:
    """The reproduction with one seed."""
    begun, reproduction = time.perf_counter(), bench.reproduction
    findings = reproduction.run(bench)
    if bench.size == "smoke":  # asks whether it runs; nothing has had time to learn
        findings = replace(findings, conditions=())
    settings = settings_of(reproduction.name, bench.size)
    bench.folder.mkdir(parents=True, exist_ok=True)
    return Claim(
        name=reproduction.name,
        title=reproduction.title,
        size=bench.size,
        data=tuple(dict.fromkeys(bench.used)),
        substitute=_substitute(reproduction, bench.data),
        seeds=(bench.seed,),
        seconds=round(time.perf_counter() - begun + sum(bench.earlier), 1),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        commit=_commit(),
        machine=_machine(bench.device),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        findings=judged(replace(findings, rows=(*findings.rows, *_unanswered(bench, findings))), settings),
        settings=settings,
    )


def check_engine(keys: Mapping[str, object]) -> None:
    """Raises:
    StudyError: these study keys name no engine that there is, or an address of Ray for another one.
    """
    values: dict[str, object] = {}
    for key, value in keys.items():
        put(values, key, value)
    study = make_study(values, "engine")
    check_ray_address(keys.get("engine.ray.address"), study)
    find_engine(study.engine)


def _unanswered(bench: Bench, findings: Findings) -> list[Row]:
    """Published figures without a row of ours."""
    reproduction, answered = bench.reproduction, {(row.setting, row.measure) for row in findings.rows}
    figures = [f for f in published(reproduction.name) if (f.setting, f.measure) not in answered]
    why = "its data are not here" if _substitute(reproduction, bench.data) else "not part of this size"
    return [Row(figure.setting, figure.measure, figure, why=why) for figure in figures]


def _substitute(reproduction: Reproduction, data: tuple[str, ...]) -> str:
    """What stands in for what, and what is left out, in words; "" where the publication's own data were used."""
    originals = [options[0] for options in reproduction.data]
    missing = [(first, used) for first, used in zip(originals, data, strict=True) if used != first]
    replaced = "; ".join(f"{used} in place of {first}" for first, used in missing if used not in originals)
    absent = ", ".join(first for first, used in missing if used in originals)
    clauses = [f"same method, other data: {replaced}"] if replaced else []
    return "; ".join([*clauses, *([f"without {absent}: not here"] if absent else [])])


def _commit() -> str:
    """The commit of the source tree that ran; "" for an installed package."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _machine(device: str) -> dict[str, object]:
    import torch

    gpu = processor_name("cuda") if device != "cpu" and torch.cuda.is_available() else None
    return {"processor": processor_name("cpu"), "cores": os.cpu_count(), "gpu": gpu}
