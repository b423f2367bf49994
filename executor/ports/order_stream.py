"""The exchange's order stream as the engine sees it: whole bets, as they change.

Times are milliseconds since the epoch in UTC. A bet's sizes are cumulative, so that a repeat changes nothing.
"""

from dataclasses import dataclass
from typing import Protocol

from executor.domain.order import BetState


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message of the stream; a heartbeat has no bets."""

    published_at: int
    bets: tuple[BetState, ...] = ()
    image: bool = False  # all that is live: what ended unheard before it is in no message
    behind: bool = False  # the exchange says that its own data are late: not to be trusted, not to be left
    odd: tuple[str, ...] = ()  # rows that cannot be read, or that our records cannot hold: why


class OrderStream(Protocol):
    """One connection to the order stream of our strategy ref. For one thread."""

    def connect(self) -> str:
        """Connect, authenticate and subscribe; returns the exchange's name for the connection.

        Raises:
            SessionExpired: the token was refused; there is a new one now: connect again.
            Throttled: too often or too many: wait first.
            LoginRefused, Refused: not without a person.
            NotSent, OutcomeUnknown: not now.
        """

    def read(self) -> StreamMessage | None:
        """Return the next message; None where what came was none for us.

        Raises:
            NotSent: the connection is over, or silent for longer than the exchange's heartbeats allow.
        """

    def close(self) -> None:
        """Close the connection, if there is one."""
