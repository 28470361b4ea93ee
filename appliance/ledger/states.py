"""The state machine of an order intent: its states and the permitted transitions.

    PLANNED -> JOURNALED -> SENDING -> ACKED -> WORKING -> PARTIAL -> FILLED, CANCELED, EXPIRED, REPLACED
                               |                                      or VENUE_REJECTED
                               |-> REFUSED
                               '-> UNKNOWN -> ACKED | ABSENT -> SENDING (once more) | LAPSED
    PLANNED or JOURNALED -> DENIED: a pre-trade check dropped it, or its window closed before it was sent

An order that turns up at the broker for an intent that never left, by our record, is adopted (-> ACKED): the broker's
book is the truth, and the halt that goes with it notifies a person.
"""

from enum import StrEnum

from execution.orders import OrderStatus


class IntentState(StrEnum):
    """The state of an intent."""

    PLANNED = "planned"
    JOURNALED = "journaled"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    ACKED = "acked"
    WORKING = "working"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    VENUE_REJECTED = "venue_rejected"
    REPLACED = "replaced"
    REFUSED = "refused"
    DENIED = "denied"
    LAPSED = "lapsed"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more can come of the intent."""
        return self in FINISHED

    @property
    def is_at_broker(self) -> bool:
        """Whether the broker is known to have an order for it, alive or done."""
        return self in AT_BROKER

    @property
    def is_in_doubt(self) -> bool:
        """Whether the broker may or may not have the order: to be resolved before anything else."""
        return self in (IntentState.SENDING, IntentState.UNKNOWN, IntentState.ABSENT)


_S = IntentState
UNSENT = frozenset({_S.PLANNED, _S.JOURNALED})
ENDED_AT_BROKER = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.VENUE_REJECTED, _S.REPLACED})
NEVER_AT_BROKER = frozenset({_S.REFUSED, _S.DENIED, _S.LAPSED})
FINISHED = ENDED_AT_BROKER | NEVER_AT_BROKER
LIVE_AT_BROKER = frozenset({_S.ACKED, _S.WORKING, _S.PARTIAL})
AT_BROKER = LIVE_AT_BROKER | ENDED_AT_BROKER

MOVES: dict[IntentState, frozenset[IntentState]] = {
    _S.PLANNED: frozenset({_S.JOURNALED, _S.DENIED, _S.ACKED}),
    _S.JOURNALED: frozenset({_S.SENDING, _S.DENIED, _S.ACKED}),
    _S.SENDING: frozenset({_S.ACKED, _S.REFUSED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset({_S.ACKED, _S.ABSENT}),
    _S.ABSENT: frozenset({_S.ACKED, _S.SENDING, _S.LAPSED}),
    _S.ACKED: frozenset({_S.WORKING, _S.PARTIAL}) | ENDED_AT_BROKER,
    _S.WORKING: frozenset({_S.PARTIAL}) | ENDED_AT_BROKER,
    _S.PARTIAL: ENDED_AT_BROKER,
    _S.REFUSED: frozenset({_S.ACKED}),
    _S.LAPSED: frozenset({_S.ACKED}),
    _S.DENIED: frozenset({_S.ACKED}),
    **{ended: frozenset() for ended in ENDED_AT_BROKER},
}

ENDINGS = {
    OrderStatus.FILLED: _S.FILLED,
    OrderStatus.CANCELED: _S.CANCELED,
    OrderStatus.EXPIRED: _S.EXPIRED,
    OrderStatus.REJECTED: _S.VENUE_REJECTED,
    OrderStatus.REPLACED: _S.REPLACED,
}
