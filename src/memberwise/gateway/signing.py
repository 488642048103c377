"""Signed policies: an ed25519 signature over the exact bytes of a policy and of the code that it names.

``POLICY.sig`` lies beside the policy. What it says is trusted for nothing but the signature itself: which files are
covered follows from the policy. A policy that was signed once stays signed: an older one, put back with its
signature, passes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
import tomllib
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from memberwise.errors import StudyError
from memberwise.gateway.policy import Policy, parse_policy
from memberwise.store.files import write_atomically
from memberwise.study.entrypoint import is_entrypoint

ALGORITHM = "ed25519"
SIGNATURE, PUBLIC = ".sig", ".pub"
# What is signed begins so, that no signature made for another purpose fits.
HEAD = "memberwise policy, signature version 1"
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


def sign_policy(path: Path, key: Path) -> Path:
    """Sign a policy that is valid, and write ``POLICY.sig``.

    Raises:
        StudyError: the policy cannot be read, or the key is none, or others may read it.
    """
    private = _private_key(key)
    message = _message(path, _read(path, "the policy"))
    signature = private.sign(message)
    text = json.dumps(
        {"version": 1, "algorithm": ALGORITHM, "signature": base64.b64encode(signature).decode()}, indent=2
    )
    target = signature_file(path)
    write_atomically(target, (text + "\n").encode())
    return target


def verify_policy(path: Path, key: Path) -> Policy:
    """The policy, read from the very bytes whose signature was checked.

    Args:
        key: the public key (PEM).

    Raises:
        StudyError: there is no signature, it is not this key's, or the policy or code that it names was changed.
    """
    public = _public_key(key)
    content = _read(path, "the policy")
    signature = _signature(path)
    # The policy itself names the code that is covered, so it is parsed before; nothing in it is acted upon.
    message = _message(path, content)
    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise StudyError(
            "the policy is not signed by this key, or it or the code it names was changed after it was signed",
            found=str(signature_file(path)),
            where=str(path),
            fix="put back what was signed, or sign it again: memberwise policy sign",
        ) from None
    return _parsed(path, content)


def signature_file(path: Path) -> Path:
    """Where a policy's signature lies."""
    return path.with_name(path.name + SIGNATURE)


def code_files(policy: Policy) -> list[str]:
    """The files of code that a policy names, as it names them; code of installed modules is not among them."""
    names = [one.name for one in policy.answer]
    if policy.model is not None:
        names += [*policy.model.trust, *([] if policy.model.entry is None else [policy.model.entry])]
    places = (name.rpartition(":")[0] for name in names if is_entrypoint(name))
    return sorted({place for place in places if place.endswith(".py")})


def _message(path: Path, content: bytes) -> bytes:
    policy = _parsed(path, content)
    files = [["policy", hashlib.sha256(content).hexdigest()]]
    files += [[name, _code_digest(path.parent, name)] for name in code_files(policy)]
    return json.dumps([HEAD, policy.version, files]).encode()


def _code_digest(folder: Path, name: str) -> str:
    """Of the file beside the policy or in the working folder; of two they must be one, as either may be run."""
    places = [place for place in dict.fromkeys((folder / name, Path(name))) if place.is_file()]
    digests = {hashlib.sha256(place.read_bytes()).hexdigest() for place in places}
    if len(digests) != 1:
        raise StudyError(
            f"the policy names {name}, which is not there" if not digests else f"there are two files {name}",
            expected="one file, beside the policy or in the working folder",
            found=", ".join(map(str, places)) or None,
            where=str(folder),
        )
    return digests.pop()


def _parsed(path: Path, content: bytes) -> Policy:
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise StudyError("the policy cannot be read", found=str(error), where=str(path)) from None
    return parse_policy(values, str(path))


def _read(path: Path, what: str, most: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read() if most is None else file.read(most)
    except OSError as error:
        raise StudyError(f"{what} cannot be read", found=error.strerror or str(error), where=str(path)) from None


def _signature(path: Path) -> bytes:
    file = signature_file(path)
    if not file.exists():
        raise StudyError(
            "the policy is not signed",
            expected=str(file),
            where=str(path),
            fix=f"memberwise policy sign {path} --key FILE",
        )
    try:
        values = json.loads(_read(file, "the signature", MOST_BYTES))
        if values["version"] != 1 or values["algorithm"] != ALGORITHM:
            raise ValueError
        return base64.b64decode(values["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise StudyError("the signature cannot be read", where=str(file), fix="sign the policy again") from None


def _private_key(file: Path) -> Ed25519PrivateKey:
    content = _read(file, "the private key", MOST_BYTES)
    mode = stat.S_IMODE(file.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise StudyError(
            "others may read the private key",
            expected="mode 600",
            found=f"mode {mode:o}",
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
            fix="memberwise policy sign POLICY --key FILE --new-key makes one",
        )
    return key


def _public_key(file: Path) -> Ed25519PublicKey:
    content = _read(file, "the public key", MOST_BYTES)
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
