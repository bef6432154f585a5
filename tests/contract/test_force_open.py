"""Breakers held open for a block."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.testing import force_open


@pytest.mark.parametrize("by_name", [True, False])
def test_calls_are_rejected_in_the_block_and_pass_after_it(by_name: bool) -> None:
    breaker = CircuitBreaker("payments of a test")
    held = force_open("payments of a test" if by_name else breaker, reason="a drill")
    with held, pytest.raises(CircuitOpenError, match="a drill"):
        breaker.call(int)
    assert breaker.call(int) == 0


def test_it_closes_again_also_after_an_error() -> None:
    breaker = CircuitBreaker("x")
    with pytest.raises(KeyError), force_open(breaker):
        raise KeyError
    assert breaker.state == "closed"


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    breaker = CircuitBreaker("the only one")
    with (
        pytest.raises(LookupError, match=r"no breaker is called 'nobody'; there are: .*the only one"),
        force_open("nobody"),
    ):
        pass
    assert breaker.state == "closed"
