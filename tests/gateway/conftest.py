"""What tests of the gateway share."""

import pytest

from switchgear.testing.idle_loop import IdleLoop


@pytest.fixture
def anyio_backend():
    """Gateway, clients and services of a test are in one loop: in this one, a machine that is busy with other
    things makes none of them late, and the short timeouts of the tests end only what does hang."""
    return "asyncio", {"loop_factory": IdleLoop}
