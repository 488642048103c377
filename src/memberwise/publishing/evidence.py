"""The evidence pack of a run: report, figures, annex, and SHA-256 of every file, signed where there is a key.

``manifest.json`` lists the pack's files and those of the run; the signature is over its exact bytes. What was changed,
added or lost after it was made is found by :func:`verify_pack`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType

from memberwise.errors import MissingExtraError, RunFolderError, StudyError
from memberwise.publishing.annex import NO_CLAIM, annex
from memberwise.publishing.pdf import print_to_pdf
from memberwise.report.files import read_all
from memberwise.report.html import render
from memberwise.report.modelcard import model_card
from memberwise.report.redact import holds_records, redacted
from memberwise.store.files import json_values, to_json, write_atomically, write_text
from memberwise.types.version import __version__

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
# What is signed begins so, that no signature made for another purpose fits.
HEAD = b"memberwise evidence, signature version 1\n"
FOLDER = "evidence"
# Of the run, not of the moment: locks come and go.
PASSING = (".lock", ".lock.pid")
# All that a pack may hold, and all that making it anew may delete.
NAMES = ("annex.md", "model_card.md", "report.html", "report.pdf", "result.json", "study.toml", MANIFEST, SIGNATURE)


@dataclass(frozen=True)
class Verified:
    """What a check of a pack found.

    Attributes:
        problems: what is not as it was; none where the pack is whole.
        files, run_files: how many were compared; run_files is None where the run folder is not at hand.
        signed_by: the fingerprint of the key by which it is signed; None without a signature.
        known: that key is the one that was given.
    """

    problems: tuple[str, ...]
    files: int
    run_files: int | None
    signed_by: str | None
    known: bool


def make_pack(run: Path, out: Path, created: datetime, *, key: Path | None = None, redact: bool = False) -> Path:
    """Write the pack of a finished run into a folder that is not there yet, or holds an earlier pack.

    Args:
        created: when, as the manifest says. key: a private key (PEM) to sign with. redact: nothing of single records.

    Raises:
        RunFolderError: this is no finished run, or ``out`` is a folder of something else.
        StudyError: the key cannot be used. MissingExtraError: signing needs ``cryptography``.
    """
    result, scores, curves = read_all(run)
    private = None if key is None else _signing().private_key(key)
    if redact:
        result, scores, curves = redacted(result, scores, curves, and_scores=True)
    values = json_values(result.to_dict())
    private_files = holds_records(values)
    manifest: dict[str, object] = {
        "format": "memberwise evidence",
        "version": 1,
        "memberwise_version": __version__,
        "created": created.isoformat(timespec="seconds"),
        "claims": NO_CLAIM,
        "files": {},
        "run_files": {},
    }
    _make_room(out, manifest)
    page = render(result, scores, curves)
    texts = {"report.html": page, "result.json": to_json(values), "model_card.md": model_card(result)}
    if (run / "study.toml").is_file():
        texts["study.toml"] = (run / "study.toml").read_text("utf-8")
    for name, text in texts.items():
        write_text(out / name, text, private=private_files)
    content, how = print_to_pdf(out / "report.html")
    if content is not None:
        write_atomically(out / "report.pdf", content, private=private_files)
    names = sorted({*_files(out), "annex.md"} - {MANIFEST})
    write_text(out / "annex.md", annex(result, names, how), private=private_files)
    manifest["files"] = {name: _digest(out / name) for name in names}
    manifest["run_files"] = {name: _digest(run / name) for name in _files(run, skip=out)}
    _write_manifest(out, manifest)
    if private is not None:
        _signing().sign(HEAD + (out / MANIFEST).read_bytes(), private, out / SIGNATURE)
    return out


def _make_room(out: Path, manifest: dict[str, object]) -> None:
    """Empty an earlier pack; the manifest comes first, so that one whose making was broken off is known as a pack.

    Raises:
        RunFolderError: the folder holds anything that is no part of a pack; nothing in it is touched.
    """
    names = {path.relative_to(out).as_posix() for path in out.rglob("*")} if out.is_dir() else set()
    try:
        if out.exists() and not out.is_dir():
            raise RunFolderError(f"{out} is no folder", expected="a new folder, or an earlier pack", where="--out")
        if names:
            _manifest(out)
        if more := sorted(names - set(NAMES)):
            raise RunFolderError(f"{out} holds {more[0]}", expected="a pack's files alone", where="--out")
    except StudyError:
        raise RunFolderError(
            f"{out} holds something else", expected="a new folder, or an earlier pack", where="--out"
        ) from None
    _write_manifest(out, manifest)
    for name in names - {MANIFEST}:
        (out / name).unlink()


def _write_manifest(out: Path, manifest: dict[str, object]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_atomically(out / MANIFEST, text.encode("utf-8", "backslashreplace"))


def verify_pack(pack: Path, key: Path | None = None, run: Path | None = None) -> Verified:
    """Compare a pack, and the run where it is at hand, with the manifest, and the manifest with its signature.

    Args:
        pack: the pack's folder, or a run folder that holds it. key: the public key (PEM) that must have signed.
        run: the run folder; by default the folder in which the pack lies, where that is its run.

    Raises:
        StudyError: there is no pack, or its manifest, key or signature cannot be read.
    """
    if not (pack / MANIFEST).is_file() and (pack / FOLDER / MANIFEST).is_file():
        pack = pack / FOLDER
    pack = pack.resolve()  # "." has no parent of its own
    content, manifest = _manifest(pack)
    run_folder = run or (pack.parent if (pack.parent / "result.json").is_file() else None)
    problems = [] if manifest["files"] else ["the pack was not finished: make it again"]
    problems += _differences(pack, manifest["files"], skip=None, ours=(MANIFEST, SIGNATURE))
    run_files = None
    if run_folder is not None:
        run_files = len(manifest["run_files"])
        problems += [f"run: {text}" for text in _differences(run_folder, manifest["run_files"], skip=pack, ours=())]
    signed_by, known = None, False
    if (pack / SIGNATURE).is_file():
        signed_by, known, trouble = _signer(pack, content, key)
        problems += trouble
    elif key is not None:
        problems.append("it is not signed")
    return Verified(tuple(problems), len(manifest["files"]), run_files, signed_by, known)


def _signer(pack: Path, content: bytes, key: Path | None) -> tuple[str | None, bool, list[str]]:
    signing = _signing()
    signature = signing.read_signature(pack / SIGNATURE, "make the pack again")
    signer = signature.key if key is None else signing.public_key(key)
    if signer is None or not signature.is_of(HEAD + content, signer):
        return None, False, ["the signature is not this key's, or the manifest was changed after it was signed"]
    return signing.fingerprint(signer), key is not None, []


def _manifest(pack: Path) -> tuple[bytes, dict[str, dict[str, str]]]:
    try:
        content = (pack / MANIFEST).read_bytes()
        values = json.loads(content)
        if values["format"] != "memberwise evidence" or values["version"] != 1:
            raise ValueError("another format or version")
        parts = {name: {str(k): str(v) for k, v in values[name].items()} for name in ("files", "run_files")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StudyError(
            "this is no evidence pack", expected=f"a folder with {MANIFEST}", found=str(error), where=str(pack)
        ) from None
    return content, parts


def _differences(folder: Path, digests: dict[str, str], skip: Path | None, ours: tuple[str, ...]) -> list[str]:
    """What of a folder is not as it was: nothing outside it is opened, whatever a manifest names."""
    there = set(_files(folder, skip=skip)) - set(ours)
    changed = [name for name in sorted(there & set(digests)) if _digest(folder / name) != digests[name]]
    return [
        *(f"{name} was changed" for name in changed),
        *(f"{name} is lost" for name in sorted(set(digests) - there)),
        *(f"{name} was added" for name in sorted(there - set(digests))),
    ]


def _files(folder: Path, skip: Path | None = None) -> list[str]:
    """Every file of a folder, by its path in it; links are followed by nobody, and are no files of it."""
    inside = skip.resolve() if skip is not None else None
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.name in PASSING:
            continue
        if inside is not None and inside in path.resolve().parents:
            continue
        names.append(path.relative_to(folder).as_posix())
    return names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signing() -> ModuleType:
    try:
        from memberwise.store import signing
    except ImportError as error:
        raise MissingExtraError.of(error.name or "cryptography", "evidence", "a signature") from None
    return signing
