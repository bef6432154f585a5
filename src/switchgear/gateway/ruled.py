"""A request on a route whose answers get other fields than their services gave.

What routes without such rules run knows nothing of them, and pays nothing for them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from switchgear.gateway.proxy import Exchange
from switchgear.gateway.request_ids import FIELD

if TYPE_CHECKING:
    from switchgear.gateway.answers import Answer
    from switchgear.gateway.http1.response import ResponseHead, WholeAnswer
    from switchgear.gateway.http1.rules import FieldRules


class AnswerRules(NamedTuple):
    """`service`: for what a streamed route's service answers, before circuits' judgements and policies see
    it. `route`: for what the client gets, whoever made it.
    """

    service: FieldRules | None
    route: FieldRules | None


class RuledExchange(Exchange):
    """An exchange of a route that has `AnswerRules`."""

    __slots__ = ()

    # ---- what the service answers

    def answered(self, answer: WholeAnswer) -> None:
        rules = self._rules.service
        super().answered(answer if rules is None else replace(answer, head=rules.lines(answer.head)))

    def head(self, head: ResponseHead) -> None:
        rules = self._rules.service
        super().head(head if rules is None else head._replace(fields=rules.lines(head.fields)))

    # ---- what the client gets

    def send_whole(self, answer: WholeAnswer) -> None:
        rules = self._rules.route
        super().send_whole(answer if rules is None else replace(answer, head=rules.lines(answer.head)))

    def send_answer(self, answer: Answer) -> None:
        rules = self._rules.route
        if rules is not None:
            answer = replace(answer, headers=tuple(rules.pairs(answer.headers)))
        super().send_answer(answer)

    def send_head(self, status: int, reason: bytes, fields: bytes, length: int) -> None:
        super().send_head(status, reason, self._by_route(fields), length)

    def send_upgrade(self, fields: bytes) -> None:
        super().send_upgrade(self._by_route(fields))

    def _by_route(self, fields: bytes) -> bytes:
        rules = self._rules.route
        return fields if rules is None else rules.lines(fields)

    def _id_unless_in(self, fields: bytes) -> bytes:
        rules = self._rules.route
        return b"" if rules is not None and FIELD in rules else super()._id_unless_in(fields)

    @property
    def _rules(self) -> AnswerRules:
        rules = self.plan.answer_rules
        assert rules is not None, "only a route with rules has such exchanges"
        return rules
