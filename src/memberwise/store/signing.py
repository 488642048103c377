"""ed25519 keys and signatures of any message, in files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from memberwise.errors import StudyError
from memberwise.store.files import open_mode, write_atomically

ALGORITHM = "ed25519"
PUBLIC = ".pub"
# Of a signature's or a key's file that is read.
MOST_BYTES = 100_000


def make_key_pair(private: Path) -> Path:
    """Write a new private key (PEM, mode 600 from its first byte on) and ``PRIVATE.pub`` beside it.

    Returns:
        The public key's file.

    Raises:
        StudyError: one of the two is there already.
    """
    public = private.with_name(private.name + PUBLIC)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    if public.exists():
        raise _taken(public)
    private.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _taken(private) from None
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    write_atomically(
        public,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    return public


def sign(message: bytes, private: Ed25519PrivateKey, target: Path) -> None:
    """Write the signature of a message, and the key by which it is checked, into a file of its own."""
    values = {
        "version": 1,
        "algorithm": ALGORITHM,
        "signature": base64.b64encode(private.sign(message)).decode(),
        "public_key": base64.b64encode(_raw(private.public_key())).decode(),
    }
    write_atomically(target, (json.dumps(values, indent=2) + "\n").encode())


def read_signature(file: Path, again: str) -> Signature:
    """A signature as it is written: trusted for nothing but itself.

    Args:
        again: what to do where it cannot be read.

    Raises:
        StudyError: it cannot be read.
    """
    try:
        values = json.loads(read_bytes(file, "the signature", MOST_BYTES))
        if values["version"] != 1 or values["algorithm"] != ALGORITHM:
            raise ValueError
        signature = base64.b64decode(values["signature"], validate=True)
        named = values.get("public_key")
        key = None if named is None else Ed25519PublicKey.from_public_bytes(base64.b64decode(named, validate=True))
        return Signature(signature, key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise StudyError("the signature cannot be read", where=str(file), fix=again) from None


@dataclass(frozen=True)
class Signature:
    """A signature, and the public key that its file names, which proves nothing of who signed."""

    signature: bytes
    key: Ed25519PublicKey | None

    def is_of(self, message: bytes, key: Ed25519PublicKey) -> bool:
        """Whether this key signed this message."""
        try:
            key.verify(self.signature, message)
        except InvalidSignature:
            return False
        return True


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of a public key, to be compared with what its owner says."""
    return hashlib.sha256(_raw(key)).hexdigest()


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def private_key(file: Path) -> Ed25519PrivateKey:
    """A private key (PEM) that nobody else may read.

    Raises:
        StudyError: it is none, or others may read it.
    """
    content = read_bytes(file, "the private key", MOST_BYTES)
    mode = open_mode(file)
    if mode is not None:
        raise StudyError(
            "others may read the private key",
            expected="mode 600",
            found=f"mode {mode}",
            where=str(file),
            fix=f"if nobody has read it, chmod 600 {file}; else make another one with --new-key",
        )
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise StudyError(
            "this is no private key to sign with",
            expected="an ed25519 key in PEM, without a passphrase",
            where=str(file),
            fix="--new-key makes one",
        )
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """A public key (PEM).

    Raises:
        StudyError: it is none.
    """
    content = read_bytes(file, "the public key", MOST_BYTES)
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        private = b"PRIVATE KEY" in content
        raise StudyError(
            "this is a private key, which belongs to whoever signs" if private else "this is no public key",
            expected="an ed25519 public key in PEM",
            where=str(file),
            fix=f"the file {file.name}{PUBLIC} that was made with it" if private else None,
        )
    return key


def _taken(path: Path) -> StudyError:
    return StudyError(
        "a key is there already, and is not replaced", where=str(path), fix="another --key, or without --new-key"
    )


def read_bytes(path: Path, what: str, most: int | None = None) -> bytes:
    """A file's bytes, ``most`` of them at most.

    Raises:
        StudyError: ``what`` cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read() if most is None else file.read(most)
    except OSError as error:
        raise StudyError(f"{what} cannot be read", found=error.strerror or str(error), where=str(path)) from None
