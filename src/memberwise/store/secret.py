"""The secret of a released model: random, in a file of its own that only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from memberwise.errors import RunFolderError
from memberwise.store.files import open_mode

FILE = "secret.key"
BYTES = 32


def ensure_secret(folder: Path) -> None:
    """Make ``secret.key`` of 256 random bits, mode 600 from its first byte on; one that is there stays.

    Raises:
        RunFolderError: others may read the one that is there, or it is none.
    """
    path = folder / FILE
    if path.exists():
        read_secret(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{FILE}.{secrets.token_hex(4)}.part"
    try:
        _write(part, secrets.token_bytes(BYTES))
        try:
            os.link(part, path)  # unlike a rename it never replaces one that another process has just made
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_secret(folder: Path) -> bytes:
    """The secret in ``secret.key``.

    Raises:
        RunFolderError: it is not there, is not 64 hexadecimal digits, or others may read it.
    """
    path = folder / FILE
    try:
        mode, text = open_mode(path), path.read_text("ascii").strip()
    except FileNotFoundError:
        raise RunFolderError(
            "the secret of the model's answers is not there",
            expected=f"the {FILE} that was made with the model: with another one records get other answers",
            where=str(path),
            fix="copy it from the folder in which the model was made, mode 600",
        ) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(
            "the secret of the model's answers cannot be read", found=str(error), where=str(path)
        ) from None
    if mode is not None:
        raise RunFolderError(
            "others may read the secret of the model's answers",
            expected="mode 600",
            found=f"mode {mode}",
            where=str(path),
            fix=f"if nobody has read it, chmod 600 {path}; else delete it, and a new one is made by the next run",
        )
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != BYTES:
        raise RunFolderError(
            "this is no secret",
            expected=f"{2 * BYTES} hexadecimal digits",
            found=f"{len(text)} characters",
            where=str(path),
        )
    return secret


def _write(path: Path, secret: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
