"""Signed policies: an ed25519 signature over the exact bytes of a policy and of the code that it names.

``POLICY.sig`` lies beside the policy. What it says is trusted for nothing but the signature itself: which files are
covered follows from the policy. A policy that was signed once stays signed: an older one, put back with its
signature, passes.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from memberwise.errors import StudyError
from memberwise.gateway.policy import Policy, parse_policy
from memberwise.store.signing import private_key, public_key, read_bytes, read_signature, sign
from memberwise.study.entrypoint import is_entrypoint

SIGNATURE = ".sig"
# What is signed begins so, that no signature made for another purpose fits.
HEAD = "memberwise policy, signature version 1"


def sign_policy(path: Path, key: Path) -> Path:
    """Sign a policy that is valid, and write ``POLICY.sig``.

    Raises:
        StudyError: the policy cannot be read, or the key is none, or others may read it.
    """
    private = private_key(key)
    target = signature_file(path)
    sign(_message(path, read_bytes(path, "the policy")), private, target)
    return target


def verify_policy(path: Path, key: Path) -> Policy:
    """The policy, read from the very bytes whose signature was checked.

    Args:
        key: the public key (PEM).

    Raises:
        StudyError: there is no signature, it is not this key's, or the policy or code that it names was changed.
    """
    public = public_key(key)
    content = read_bytes(path, "the policy")
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


def _signature(path: Path) -> bytes:
    file = signature_file(path)
    if not file.exists():
        raise StudyError(
            "the policy is not signed",
            expected=str(file),
            where=str(path),
            fix=f"memberwise policy sign {path} --key FILE",
        )
    return read_signature(file, "sign the policy again").signature
