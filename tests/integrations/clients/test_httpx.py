"""Circuits in clients of httpx."""

from types import ModuleType

import httpx
import pytest

from switchgear.integrations import httpx as guarded
from tests.integrations.clients.contract import AsyncContract, ClientContract
from tests.integrations.clients.driver import Driver
from tests.integrations.clients.httpx_cases import TransportCases
from tests.integrations.clients.httpx_drivers import async_driver, sync_driver

pytestmark = pytest.mark.anyio


class TestSync(ClientContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return sync_driver(httpx, guarded)


class TestAsync(AsyncContract):
    @pytest.fixture
    def client_type(self) -> type[Driver]:
        return async_driver(httpx, guarded)


class TestTransports(TransportCases):
    @pytest.fixture
    def library(self) -> ModuleType:
        return httpx

    @pytest.fixture
    def integration(self) -> ModuleType:
        return guarded
