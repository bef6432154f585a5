"""Circuit breakers inside other libraries: one module a host, each needs the extra of its name.

Nothing is imported here: `from switchgear.integrations.httpx import ...` loads that host and no other.
"""
