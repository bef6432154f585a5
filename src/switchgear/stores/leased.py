"""A mirrored circuit whose store leases probes: the one place where a call may wait for a store."""

from __future__ import annotations

from concurrent.futures import Future
from typing import cast

from switchgear.breaker.circuit import Grant
from switchgear.errors import CircuitOpenError
from switchgear.stores.grants import Ask
from switchgear.stores.home import Letter
from switchgear.stores.leasing import LeasingMirror
from switchgear.stores.mirrored import MirroredCircuit
from switchgear.stores.view import Result, View


class LeasedCircuit(MirroredCircuit):
    """A circuit whose probes are counted over all processes."""

    __slots__ = ()

    def _make_mirror(self) -> LeasingMirror:
        return LeasingMirror(self.policy, self.now(), self._home.draw, self._home.rules(self.policy))

    @property
    def _leasing(self) -> LeasingMirror:
        return cast(LeasingMirror, self._mirror)

    def admit(self) -> Grant:
        self._home.check_loop(self.name)
        answer = self._ask_mirror()
        if not isinstance(answer, Ask):
            return self._granted(answer)
        sent = self.now()
        asked = self._ask_store(answer)
        try:
            view = asked.result(self._home.lease_timeout)
        except (
            Exception
        ):  # too late, the store's own, or no thread to carry it: all mean that there is no lease
            raise self._unleased(answer, asked) from None
        return self._leased(answer, view, sent)

    def try_admit(self) -> Grant | None:
        answer = self._ask_mirror()
        if not isinstance(answer, Ask):
            return self._granted(answer)
        with self._inside():
            self._leasing.unask()
        return None

    async def admit_async(self) -> Grant:
        import asyncio

        answer = self._ask_mirror()
        if not isinstance(answer, Ask):
            return self._granted(answer)
        sent = self.now()
        asked = self._ask_store(answer)
        try:
            # The question stays under way whatever ends the wait: only its answer tells whether to give a
            # lease back.
            async with asyncio.timeout(self._home.lease_timeout):
                view = await asyncio.shield(asyncio.wrap_future(asked))
        except asyncio.CancelledError:
            self._unleased(answer, asked)
            raise
        except Exception:  # as in `admit`
            raise self._unleased(answer, asked) from None
        return self._leased(answer, view, sent)

    def _ask_store(self, ask: Ask) -> Future[View]:
        with self._inside():
            request = self._leasing.lease_request(ask.token)
            letter = Letter(self, request, self._mirror.prepared(request, "", self.now()))
        return self._home.ask(letter)

    def _leased(self, ask: Ask, view: View, sent: float) -> Grant:
        now = self.now()
        with self._inside():
            answer = self._leasing.lease_answer(ask.token, view, sent, now)
            tell = self._publish(now)
        tell()
        self._touch()
        return self._granted(answer)

    def _unleased(self, ask: Ask, asked: Future[View]) -> CircuitOpenError:
        """The rejection of a call whose question the store did not answer in time."""
        with self._inside():
            answer = self._leasing.lease_failed(self.now())
        # Not before the question has come to its end, or the give-back may overtake it.
        asked.add_done_callback(lambda asked: self._give_back(ask, asked))
        return self.refusal(answer.retry_after, self._state)

    def _give_back(self, ask: Ask, asked: Future[View]) -> None:
        unknown = asked.cancelled() or asked.exception() is not None
        if unknown or asked.result().result == Result.GRANTED:
            with self._inside():
                self._leasing.give_back(ask.token)
            self._home.touch(self, urgent=True)
