"""Signatures of policies: every byte counts, of the policy and of the code that it names."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memberwise.errors import StudyError
from memberwise.gateway.signing import sign_policy, signature_file, verify_policy
from memberwise.store.signing import make_key_pair

POLICY = """\
version = 1
answer = [{ name = "round", digits = 2 }, { name = "mine.py:Own" }]
[model]
trust = ["mine.py:Own"]
[plans.default]
questions = 100
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "here" / "policy.toml"
    path.parent.mkdir()
    path.write_text(POLICY)
    (path.parent / "mine.py").write_text("class Own: ...\n")
    return path


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_signed_policy_is_verified(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    assert sign_policy(policy, tmp_path / "signer.pem") == policy.with_name("policy.toml.sig")
    assert verify_policy(policy, public).plans["default"].questions == 100
    assert stat.S_IMODE((tmp_path / "signer.pem").stat().st_mode) == 0o600
    assert public == tmp_path / "signer.pem.pub"


@pytest.mark.slow
@given(st.integers(0, len(POLICY) - 1), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_changed_byte_is_refused(policy: Path, tmp_path: Path, place: int, change: int) -> None:
    public = tmp_path / "signer.pem.pub"
    policy.write_text(POLICY)
    if not public.exists():
        make_key_pair(tmp_path / "signer.pem")
        sign_policy(policy, tmp_path / "signer.pem")
    verify_policy(policy, public)
    content = bytearray(POLICY.encode())
    content[place] ^= change
    policy.write_bytes(content)
    with pytest.raises(StudyError):
        verify_policy(policy, public)


def test_a_comment_that_was_added_is_refused(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    policy.write_text(POLICY + "# nothing\n")
    with pytest.raises(StudyError, match="changed after it was signed"):
        verify_policy(policy, public)


def test_changed_code_is_refused(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    code = policy.with_name("mine.py")
    code.write_text("class Own: ...  # something else\n")
    with pytest.raises(StudyError, match="changed after it was signed"):
        verify_policy(policy, public)
    code.unlink()
    with pytest.raises(StudyError, match=r"mine\.py, which is not there"):
        verify_policy(policy, public)


def test_another_file_of_the_codes_name_is_refused(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    (tmp_path / "mine.py").write_text("evil = 1\n")  # in the working folder, from which it would be run
    with pytest.raises(StudyError, match="two files"):
        verify_policy(policy, public)
    (tmp_path / "mine.py").write_text("class Own: ...\n")
    verify_policy(policy, public)


def test_another_key_is_refused(policy: Path, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    other = make_key_pair(tmp_path / "other.pem")
    with pytest.raises(StudyError, match="not signed by this key"):
        verify_policy(policy, other)


def test_an_unsigned_policy_is_refused(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    with pytest.raises(StudyError, match="not signed"):
        verify_policy(policy, public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 50_000,
        json.dumps({"version": 1, "algorithm": "ed25519", "signature": "?"}),
        json.dumps({"version": 1, "algorithm": "ed25519", "signature": None}),
        json.dumps({"version": 1, "algorithm": "none", "signature": ""}),
        json.dumps({"version": 2, "algorithm": "ed25519", "signature": ""}),
        json.dumps({"version": 1, "algorithm": "ed25519", "signature": base64.b64encode(b"x" * 64).decode()}),
        json.dumps({"version": 1, "algorithm": "ed25519", "signature": ""}),
    ],
)
def test_a_harmed_signature_is_refused(policy: Path, tmp_path: Path, text: str) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    signature_file(policy).write_text(text)
    with pytest.raises(StudyError, match=r"sign"):
        verify_policy(policy, public)


def test_a_signature_fits_no_other_policy(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    other = policy.with_name("other.toml")
    other.write_text(POLICY.replace("100", "101"))
    signature_file(other).write_bytes(signature_file(policy).read_bytes())
    with pytest.raises(StudyError, match="changed"):
        verify_policy(other, public)


def test_keys_are_never_replaced(tmp_path: Path) -> None:
    make_key_pair(tmp_path / "signer.pem")
    before = (tmp_path / "signer.pem").read_bytes()
    with pytest.raises(StudyError, match="not replaced"):
        make_key_pair(tmp_path / "signer.pem")
    (tmp_path / "signer.pem.pub").unlink()
    with pytest.raises(StudyError, match="not replaced"):
        make_key_pair(tmp_path / "signer.pem")
    assert (tmp_path / "signer.pem").read_bytes() == before


def test_a_key_that_others_read_signs_nothing(policy: Path, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "signer.pem")
    (tmp_path / "signer.pem").chmod(0o640)
    with pytest.raises(StudyError, match="others may read"):
        sign_policy(policy, tmp_path / "signer.pem")
    assert not signature_file(policy).exists()


def test_what_is_no_key_is_refused(policy: Path, tmp_path: Path) -> None:
    public = make_key_pair(tmp_path / "signer.pem")
    sign_policy(policy, tmp_path / "signer.pem")
    with pytest.raises(StudyError, match="private key, which belongs"):
        verify_policy(policy, tmp_path / "signer.pem")
    wrong = tmp_path / "wrong.pem"
    for content in (b"", b"\xff\x00", pem(rsa.generate_private_key(65537, 2048)), public.read_bytes()):
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        with pytest.raises(StudyError, match="no private key"):
            sign_policy(policy, wrong)
    with pytest.raises(StudyError, match="cannot be read"):
        sign_policy(policy, tmp_path / "missing.pem")


def test_a_policy_that_is_none_is_not_signed(policy: Path, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "signer.pem")
    policy.write_text("unknown = 1")
    with pytest.raises(StudyError, match="unknown key"):
        sign_policy(policy, tmp_path / "signer.pem")
    assert not signature_file(policy).exists()
