"""Where a gateway keeps its circuits: from `state:` to a store, and whether that can be used."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from switchgear.stores.trouble import TRIAL_SECONDS, place_of, try_store
from switchgear.stores.url import store_from_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from switchgear.gateway.config.model import State
    from switchgear.stores import CircuitBreakerStore

logger = logging.getLogger("switchgear")

RELEASE_SECONDS: Final = 2.0
_DEFAULTS: Final = {"redis": ("prefix", "switchgear:"), "postgres": ("table", "switchgear_circuits")}


def store_for(state: State) -> CircuitBreakerStore | None:
    """The store, not connected yet; `None` for the memory of this process.

    Raises `ValueError` for what its URL can't say, `ImportError` without the driver.
    """
    if state.type == "own":
        return state.store
    return None if state.type == "memory" else store_from_url(store_url(state))


def store_url(state: State) -> str:
    """The URL of the store, options included."""
    parts = urlsplit(state.url or _composed(state))
    options = {name: value for name in ("prefix", "table") if (value := getattr(state, name)) is not None}
    query = "&".join(part for part in (parts.query, urlencode(options)) if part)
    return parts._replace(query=query).geturl()


def _composed(state: State) -> str:
    user = quote(state.user or "", safe="")
    password = "" if state.password is None else ":" + quote(state.password, safe="")
    at = "@" if user or password else ""
    host = f"[{state.host}]" if ":" in state.host else state.host
    path = "" if state.database is None else "/" + quote(state.database, safe="")
    where = f"{user}{password}{at}{host}:{state.port}{path}"
    if state.type == "redis":
        return f"{'rediss' if state.tls else 'redis'}://{where}"
    return f"postgresql://{where}{'?sslmode=require' if state.tls else ''}"


def place(state: State) -> str:
    """Where the circuits are, without credentials: whoever names the same shares them."""
    if state.type == "memory":
        return "memory"
    if state.type == "own":
        return type(state.store).__name__
    url = store_url(state)
    option, default = _DEFAULTS[state.type]
    given = parse_qs(urlsplit(url).query)
    namespace = state.namespace or given.get("namespace", [None])[0]
    return f"{place_of(url)}, {option} {given.get(option, [default])[0]!r}, namespace {namespace!r}"


async def usable(state: State, seconds: float = TRIAL_SECONDS) -> bool:
    """Tries the store for at most that long, and logs where it is, or what to do. Leaves no connection
    open."""
    if state.type in {"memory", "own"}:  # nobody knows where a user's store is: its first use will tell
        return True
    store = store_from_url(store_url(state))
    async with store:
        trouble = await try_store(store, seconds)
    if trouble is None:
        logger.info("state: %s", place(state))
        return True
    logger.error("state: %s can't be used: %s", place(state), trouble)
    return False


@asynccontextmanager
async def released(store: CircuitBreakerStore | None) -> AsyncGenerator[CircuitBreakerStore | None]:
    """The store for a block: at the end what is pending is sent, others hear that we leave, and it is
    closed."""
    try:
        yield store
    finally:
        if store is not None:
            # Late: a gateway without a store needs neither mirror nor pump.
            from switchgear.stores.sharing import release

            # Waiting for the pump blocks.
            await asyncio.to_thread(release, store, RELEASE_SECONDS)
