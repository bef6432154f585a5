"""What helps to test code that uses switchgear."""

from switchgear.testing.clock import ManualClock

__all__ = ["ManualClock"]
