"""Certificates: of the listener, and of upstreams that are asked over TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.model import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def upstream_context(tls: Tls | None) -> ssl.SSLContext:
    """How upstreams are talked to. Certificate and host name are verified: by the system's authorities, or
    with `tls.ca` by that one alone.

    Raises `ValueError` when the file can't be used.
    """
    tls = tls or Tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is None:
        context.load_default_certs()
    else:
        _use("tls.ca", tls.ca, context.load_verify_locations)
    return _finished(context, tls)


def listener_context(tls: Tls | None) -> ssl.SSLContext | None:
    """How clients are talked to; `None`: without TLS. `tls.clientCa`: they need a certificate of that one.

    Raises `ValueError` when a file can't be used.
    """
    if tls is None or tls.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _use("tls.cert and tls.key", tls.cert, lambda cert: context.load_cert_chain(cert, tls.key, _no_password))
    if tls.client_ca is not None:
        _use("tls.clientCa", tls.client_ca, context.load_verify_locations)
        context.verify_mode = ssl.CERT_REQUIRED
    return _finished(context, tls)


def _finished(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_alpn_protocols(["http/1.1"])
    return context


def _use(key: str, file: str, load: Callable[[str], None]) -> None:
    try:
        load(file)
    except ssl.SSLError as error:
        raise ValueError(f"{key}: {file} is not usable: {error.reason or 'not in PEM form'}") from error
    except OSError as error:
        raise ValueError(f"{key}: {file} can't be read: {error.strerror}") from error


def _no_password() -> str:
    """An encrypted key would otherwise be asked for at the terminal, where nobody sits."""
    raise ValueError("tls.key: the key is encrypted; a gateway starts without anybody to type a password")
