"""What `serve` says when it is ready."""

import pytest

from switchgear.cli import serve
from switchgear.gateway.config.model import Address, GatewayConfig, Tls


@pytest.mark.parametrize(
    ("tls", "scheme"),
    [(None, "http"), (Tls(ca="ca.pem"), "http"), (Tls(cert="c.pem", key="k.pem"), "https")],
)
def test_the_address_says_whether_the_listener_speaks_tls(
    tls: Tls | None, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serve._announce(GatewayConfig(routes=(), tls=tls), Address("127.0.0.1", 8443))
    assert capsys.readouterr().out == f"switchgear listening on {scheme}://127.0.0.1:8443\n"
