"""Tells policies apart that processes announce to each other."""

from __future__ import annotations

import hashlib

from switchgear.breaker.policy import FIELDS, CircuitBreakerPolicy


def fingerprint(policy: CircuitBreakerPolicy) -> str:
    """Equal policies give the same in every process."""
    text = repr([(name, _plain(getattr(policy, name))) for name in FIELDS])
    return hashlib.blake2s(text.encode(), digest_size=6).hexdigest()


def _plain(value: object) -> object:
    # A callable's repr has its address, a set's order is by chance: both would differ from process to process.
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return getattr(value, "__qualname__", value)
