"""Django: circuits by settings, and rejections as a 503.

INSTALLED_APPS = [..., "switchgear.integrations.django"]
MIDDLEWARE = [..., "switchgear.integrations.django.CircuitOpenMiddleware"]
SWITCHGEAR = {"STORE": "redis://localhost:6379", "NAMESPACE": "shop", "DEFAULTS": {"failure_rate": 0.5}}

from switchgear.integrations.django import circuits

payments = circuits.breaker("payments")

Needs `switchgear[django]`.
"""

from switchgear.integrations.django.middleware import CircuitOpenMiddleware
from switchgear.integrations.django.owner import circuits

__all__ = ["CircuitOpenMiddleware", "circuits"]
