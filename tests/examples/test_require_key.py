"""The example of a user's policy, loaded as `switchgear serve` loads it, in front of a real service."""

from dataclasses import replace
from pathlib import Path

import pytest

from switchgear.gateway.config import load_config
from switchgear.gateway.config.model import Address, LogConfig
from switchgear.gateway.server import Gateway
from tests.gateway.upstreams import OK, answering, ask, get

pytestmark = pytest.mark.anyio

FILE = Path(__file__).parents[2] / "examples" / "require_key.py"


async def test_only_requests_with_the_key_pass(monkeypatch):
    monkeypatch.setenv("API_KEY", "open sesame")
    async with answering(OK) as up:
        loaded = load_config(FILE, {"USERS_URL": f"http://127.0.0.1:{up.port}"})
        assert loaded.config is not None, loaded.mistakes
        gateway = Gateway(replace(loaded.config, listen=Address("127.0.0.1", 0), log=LogConfig(access=False)))
        await gateway.start()
        try:
            for fields in ((), ("X-Api-Key: guess",)):
                refused = await ask(gateway, get("/users/7", *fields))
                assert (refused.status, refused.body) == (401, b"the key is missing or wrong\n")
            assert up.requests == []
            passed = await ask(gateway, get("/users/7", "X-Api-Key: open sesame", "X-Other: 1"))
        finally:
            await gateway.close()
    assert (passed.status, passed.body, passed.get("x-checked")) == (200, b"ok", "yes")
    (request,) = up.requests
    assert (request.get("x-api-key"), request.get("x-other")) == (None, "1")


def test_without_a_key_in_the_environment_it_does_not_start(monkeypatch):
    monkeypatch.delenv("API_KEY", raising=False)
    (mistake,) = load_config(FILE, {}).mistakes
    assert mistake.text().startswith(f"{FILE}: KeyError: 'API_KEY' (line ")
