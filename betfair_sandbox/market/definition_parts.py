"""The parts of a market's definition that are lists: its key line and its bet delay models.

Owns: reading them, from the control API and from recordings alike. Pure. Units: none.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Params, to_decimal, to_integer

# Betfair: BetDelayModel. PASSIVE: what cannot be matched at once does not wait. DYNAMIC: betDelay changes in-play.
PASSIVE: Final = "PASSIVE"
BET_DELAY_MODELS: Final = (PASSIVE, "DYNAMIC")
_MOST_LINES: Final = 100


def read_bet_delay_models(params: Params) -> tuple[str, ...]:
    """Read `betDelayModels`.

    Raises:
        BadValue: it is not a list of Betfair's models.

    """
    return tuple(Params({"betDelayModels": item}).choice("betDelayModels", BET_DELAY_MODELS) for item in _some(params))


def _some(params: Params) -> list[object]:
    items = params.items("betDelayModels")
    if len(items) > len(BET_DELAY_MODELS) or None in items:
        raise BadValue("betDelayModels is not a list of models")
    return items


def read_key_line(params: Params) -> tuple[tuple[int, Decimal], ...]:
    """Read `keyLineDefinition`, which names runners by selection and handicap.

    Raises:
        BadValue: it cannot be read.

    """
    rows = params.child("keyLineDefinition").items("kl")
    if len(rows) > _MOST_LINES:
        raise BadValue("kl is too long")
    selections = [Params(row, "kl") for row in rows]
    return tuple(
        (to_integer(row.raw("id"), "kl.id"), to_decimal(row.raw("hc") if row.has("hc") else 0, "kl.hc"))
        for row in selections
    )
