"""The circuits of a site, made of its settings when they are first used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

from switchgear import Switchgear
from switchgear.integrations.django.checks import find_mistakes
from switchgear.stores import store_from_url


def owner_of(value: dict[str, Any]) -> Switchgear:
    """The owner that a value of `SWITCHGEAR` describes; `ImproperlyConfigured` names every mistake in it."""
    mistakes = find_mistakes(value)
    if mistakes:
        raise ImproperlyConfigured(" ".join(mistake.message for mistake in mistakes))
    store = value.get("STORE")
    return Switchgear(
        value.get("NAMESPACE"),
        store=store_from_url(store) if isinstance(store, str) else store,
        **value.get("DEFAULTS", {}),
    )


def _once(make: Callable[[], Switchgear]) -> Callable[[], Switchgear]:
    """`make`, called once: two threads that come first must not get an owner each."""
    lock = threading.Lock()
    made: list[Switchgear] = []

    def get() -> Switchgear:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return get


def _from_settings() -> Switchgear:
    return owner_of(getattr(settings, "SWITCHGEAR", {}))


circuits: Final = cast(Switchgear, SimpleLazyObject(_once(_from_settings)))
"""The site's `Switchgear`. Settings are read at its first use, once for each process."""
