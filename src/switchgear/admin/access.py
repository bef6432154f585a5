"""Who may ask the operator's listener: what is meant for it, and where a token is set who has it."""

from __future__ import annotations

import hmac
import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from switchgear.gateway.config.model import Admin


_HOST: Final = re.compile(r"(?:\[([^]]*)\]|([^:]*))(?::[0-9]*)?")


def token_of(admin: Admin) -> bytes | None:
    """The token that requests have to carry.

    Raises `ValueError` for a file that gives none.
    """
    token = admin.token
    if admin.token_file is not None:
        try:
            token = Path(admin.token_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ValueError(f"admin.tokenFile: {admin.token_file} can't be read: {error}") from error
    if token is not None and not token:  # such as that of a variable that nobody set
        raise ValueError(f"admin.{'token' if admin.token_file is None else 'tokenFile'}: the token is empty")
    return None if token is None else token.encode()


def carries(token: bytes, authorization: bytes) -> bool:
    """Whether the value of `Authorization` is this token's."""
    scheme, _, given = authorization.partition(b" ")
    # Takes as long whichever byte is wrong: who measures must not find the token byte by byte.
    return hmac.compare_digest(given.strip(), token) and scheme.lower() == b"bearer"


def is_meant(host: bytes, names: frozenset[str]) -> bool:
    """Whether a request's `Host` names this listener: an address, `localhost`, or one of `names`.

    A page on the web can have its own name resolve to 127.0.0.1 and then read what answers there; its name
    in `Host` is the only thing that tells such a request from an honest one.
    """
    name = _without_port(host.decode("latin-1")).lower().rstrip(".")
    return name in names or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _without_port(host: str) -> str:
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]) if found else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
