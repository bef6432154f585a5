"""Circuits in clients of httpx."""

import httpx
import pytest

import switchgear.integrations.httpx as integration
from tests.integrations.clients.contract import AsyncContract, ClientContract
from tests.integrations.clients.driver import Driver
from tests.integrations.clients.httpx_drivers import async_driver, sync_driver

pytestmark = pytest.mark.anyio


class TestSync(ClientContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return sync_driver(httpx, integration)


class TestAsync(AsyncContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return async_driver(httpx, integration)
