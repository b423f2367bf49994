"""A subscription to an account's orders.

Owns: what one client sees of them. Units: sequence numbers.
"""

from betfair_sandbox.api.wire import Json, dump_json
from betfair_sandbox.stream.filters import OrderFilter
from betfair_sandbox.stream.order_image import OrderImage
from betfair_sandbox.stream.subscription import Pace, Subscription
from betfair_sandbox.stream.tokens import Clock


class OrderSubscription(Subscription):
    """What one client sees of its account's orders."""

    op = "ocm"
    items = "oc"

    def __init__(
        self, request_id: object, request: Json, pace: Pace, clock: Clock, asked: OrderFilter, image: OrderImage
    ) -> None:
        super().__init__(request_id, request, pace, clock)
        self._asked = asked
        self.image = image
        self.changed = True

    def _take(self) -> list[bytes]:
        if not self.changed:
            return []
        self.changed = False
        changes = self.image.changes(self.since, self._asked)
        self.since = self._clock.seq
        return [dump_json(change) for change in changes]
