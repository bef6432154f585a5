"""The queue of equal waits, over simulated time."""

from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.timeouts import TimeoutQueue


class Timer:
    def __init__(self, when, callback) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """The two things of an event loop that the queue uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def advance(self, to: float) -> None:
        while due := [t for t in self.timers if not t.cancelled and t.when <= to]:
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = to


steps = st.lists(st.tuples(st.sampled_from(["renew", "discard", "wait"]), st.integers(0, 4)), max_size=60)


@given(steps)
def test_each_wait_ends_at_its_time_unless_it_is_discarded(plan):
    loop, ended = Loop(), []
    queue = TimeoutQueue(loop, 3.0, lambda item: ended.append((item, loop.now)))
    expected: dict[int, float] = {}
    wanted = []
    for step, value in plan:
        if step == "renew":
            queue.renew(value)
            expected[value] = loop.now + 3.0
        elif step == "discard":
            queue.discard(value)
            expected.pop(value, None)
        else:
            target = loop.now + value
            for item, end in sorted(expected.items(), key=lambda pair: pair[1]):
                if end <= target:
                    wanted.append((item, end))
                    del expected[item]
            loop.advance(target)
        assert len(queue.waiting) == len(expected)
        assert sorted(ended) == sorted(wanted)
    assert sum(not timer.cancelled for timer in loop.timers) <= 1


def test_an_expiry_may_end_other_waits():
    loop, ended = Loop(), []

    def expire(item) -> None:
        ended.append(item)
        queue.discard("b")

    queue = TimeoutQueue(loop, 1.0, expire)
    queue.add("a")
    queue.add("b")
    loop.advance(5.0)
    assert ended == ["a"]


def test_a_closed_queue_is_silent():
    loop, ended = Loop(), []
    queue = TimeoutQueue(loop, 1.0, ended.append)
    queue.add("a")
    queue.close()
    loop.advance(5.0)
    assert ended == []
