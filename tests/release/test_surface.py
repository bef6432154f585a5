"""What is public changes on purpose only."""

from tests.release.surface import RECORDED, surface


def test_the_public_surface_is_the_one_that_is_recorded():
    now, recorded = surface(), RECORDED.read_text().splitlines()
    gone = "\n".join(sorted(set(recorded) - set(now)))
    new = "\n".join(sorted(set(now) - set(recorded)))
    assert now == recorded, (
        f"gone:\n{gone}\nnew:\n{new}\n"
        "meant so? python -m tests.release.surface --write, and tell it in CHANGELOG.md"
    )


def test_the_surface_tells_names_parameters_and_defaults():
    lines = surface()
    assert "switchgear.CircuitBreaker.call(self [/], fn [/], *args, **kwargs)" in lines
    assert "switchgear.CircuitBreaker.ready(self, timeout=0.25)" in lines
    assert "switchgear.stores.RedisCircuitBreakerStore" in lines
