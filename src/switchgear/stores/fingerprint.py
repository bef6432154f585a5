"""Tells policies apart that processes announce to each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import cast

from switchgear.breaker.policy import FIELDS, CircuitBreakerPolicy


def fingerprint(policy: CircuitBreakerPolicy) -> str:
    """Equal policies give the same in every process."""
    text = repr([(name, _plain(getattr(policy, name))) for name in FIELDS])
    return hashlib.blake2s(text.encode(), digest_size=6).hexdigest()


def _plain(value: object) -> object:
    # A callable's repr has its address, a set's order is by chance: both would differ from process to
    # process.
    if isinstance(value, frozenset | tuple):
        items = [repr(_plain(item)) for item in cast(Iterable[object], value)]
        return sorted(items) if isinstance(value, frozenset) else items
    return getattr(value, "__qualname__", value)
