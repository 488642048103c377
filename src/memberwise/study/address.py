"""The address of a served model: what may stand in a study, and how it is shown."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from memberwise.errors import StudyError

# A parameter of an address whose name holds one of these is a secret.
SECRET = ("key", "token", "secret", "password", "passwd", "signature", "credential", "auth")
FIX = "a bearer token by target.token_env = NAME of an environment variable, or headers by target.headers_file = FILE"


def check_address(address: object, where: str) -> None:
    """Refuse credentials in an address: studies, reports and shells' histories are read by others.

    Raises:
        StudyError: there are some; they are not in its message.
    """
    if not isinstance(address, str) or "://" not in address:
        return
    try:
        parts = urlsplit(address)
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        _ = parts.port
    except ValueError as error:
        raise StudyError("the address of the endpoint cannot be read", found=str(error)[:80], where=where) from None
    secret = next((name for name in names if any(word in name.lower() for word in SECRET)), None)
    if "@" in parts.netloc or secret is not None:
        what = "a name or password" if "@" in parts.netloc else f"the parameter {secret}"
        raise StudyError("the address of the endpoint holds credentials", found=what, where=where, fix=FIX)


def shown_address(address: str) -> str:
    """The address without what may be a secret: user, password and parameters."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
