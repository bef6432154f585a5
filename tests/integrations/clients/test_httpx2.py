"""Circuits in clients of httpx2."""

from types import ModuleType

import httpx2
import pytest

from switchgear.integrations import httpx2 as guarded
from tests.integrations.clients.contract import AsyncContract, ClientContract
from tests.integrations.clients.driver import Driver
from tests.integrations.clients.httpx_cases import TransportCases
from tests.integrations.clients.httpx_drivers import async_driver, sync_driver

pytestmark = pytest.mark.anyio


class TestSync(ClientContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return sync_driver(httpx2, guarded)


class TestAsync(AsyncContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return async_driver(httpx2, guarded)


class TestTransports(TransportCases):
    @pytest.fixture
    def library(self) -> ModuleType:
        return httpx2

    @pytest.fixture
    def integration(self) -> ModuleType:
        return guarded
