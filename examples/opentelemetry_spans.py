"""Calls and rejections as spans, printed by an exporter of the SDK's."""

from __future__ import annotations

import contextlib
import sys

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.integrations.opentelemetry import SwitchgearInstrumentor

payments = CircuitBreaker("payments", failure_threshold=1)


@payments
def charge(amount: int) -> str:
    """A payment that fails for large amounts."""
    if amount > 100:
        raise ConnectionError("no answer")
    return "paid"


def line(span: ReadableSpan) -> str:
    """A span as one line."""
    attributes = span.attributes or {}
    return f"{span.name}: {attributes['switchgear.circuit.outcome']!s}, {span.status.status_code.name}\n"


def main() -> None:
    """Three payments: one succeeds, one fails, one is rejected."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stdout, formatter=line)))
    instrumentor = SwitchgearInstrumentor(payments, tracer_provider=provider, spans=True)
    for amount in (10, 1000, 10):
        with contextlib.suppress(ConnectionError, CircuitOpenError):
            charge(amount)
    instrumentor.close()
    provider.shutdown()


if __name__ == "__main__":
    main()
