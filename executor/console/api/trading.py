"""`/api/trading`: the kill switch."""

from concurrent.futures import TimeoutError as NotYet
from typing import Final

from fastapi import APIRouter, Response

from executor.console.api.models import HaltBody, ResumeBody, TradingAnswer
from executor.console.context import Console, Here, Operator
from executor.console.principal import Principal
from executor.domain.risk import is_true
from executor.engine.cancel_until_clear import Outstanding
from executor.errors import NotAllowed
from executor.operations import trading
from executor.operations.trading import cancel_everything

router = APIRouter(prefix="/trading", tags=["trading"])

WAIT_S: Final = 10.0  # for the exchange; what takes longer goes on, and the audit says what came of it


@router.post("/halt", responses={202: {"description": "Trading is off; the cancels go on."}})
def halt(who: Operator, console: Here, response: Response, body: HaltBody | None = None) -> TradingAnswer:
    """Stop trading: from now on no order is sent. `cancel`: also take back every unmatched bet of ours."""
    wanted = body or HaltBody()
    answer = halt_now(console, who, wanted)
    if answer.cancel == "running":
        response.status_code = 202
    return answer


def halt_now(console: Console, who: Principal, wanted: HaltBody) -> TradingAnswer:
    """Throw the switch, read it back, and begin to cancel where that is wanted."""
    kept = trading.halt(console.access, who.actor, wanted.reason)
    console.cache.clear()
    enabled = is_true(console.access.controls.trading_value())
    answer = TradingAnswer(enabled=enabled, warning="" if kept else trading.NOT_KEPT)
    if not wanted.cancel:
        return answer
    running = console.pool.submit(cancel_everything, console.access, who.actor)
    try:
        left: Outstanding = running.result(WAIT_S)
    except NotYet:
        return answer.model_copy(update={"cancel": "running"})
    return answer.model_copy(update={"cancel": "not all" if left else "done", "left": left.lines()})


@router.post("/resume")
def resume(who: Operator, console: Here, body: ResumeBody | None = None) -> TradingAnswer:
    """Switch trading on and close the breaker; says what rejects every signal all the same."""
    expected = body.expect_identity if body else None
    if expected is not None and expected != console.settings.identity:
        raise NotAllowed(f"this console acts for {console.settings.identity!r}, not for {expected!r}")
    obstacles = trading.resume(console.access, who.actor)
    console.cache.clear()
    return TradingAnswer(enabled=is_true(console.access.controls.trading_value()), obstacles=obstacles)
