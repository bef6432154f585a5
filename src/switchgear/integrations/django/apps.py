"""The application, for `INSTALLED_APPS`."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from switchgear.integrations.django.checks import check_settings


class SwitchgearConfig(AppConfig):
    """Checks the settings. No I/O is done, no thread started and no store made before a circuit is used."""

    name = "switchgear.integrations.django"
    label = "switchgear"

    def ready(self) -> None:
        checks.register(check_settings, "switchgear")
