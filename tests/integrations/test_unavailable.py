"""The value of `Retry-After`."""

import pytest

from switchgear import CircuitOpenError, CircuitState
from switchgear.integrations.unavailable import retry_after


@pytest.mark.parametrize(
    ("known", "told"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (29.5, 30), (None, None)]
)
def test_retry_after_is_rounded_up_to_whole_seconds_and_never_0(known, told):
    assert retry_after(CircuitOpenError("x", CircuitState.OPEN, known)) == told
