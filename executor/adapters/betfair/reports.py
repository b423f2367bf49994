"""What Betfair's reports say of each bet that we placed or cancelled.

Invariant: every instruction gets exactly one answer. A placeOrders report belongs to a leg by the customerOrderRef that
it echoes; without one, by selection, side, price and size where that fits one leg and one report only; never by its
position. A leg without a report of its own, or with two, is UNKNOWN unless the whole report decides it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

import structlog

from executor.adapters.betfair import outcomes as policy
from executor.adapters.betfair.json_text import Row, WireError, as_row, encode, sound
from executor.adapters.betfair.outcomes import ReportVerdict
from executor.adapters.betfair.wire import as_rows, placed_bet, size
from executor.domain.money import PENNY, ZERO
from executor.domain.order import BetState
from executor.ports import CancelReport, Instruction, LegOutcome, LegReport

_log = structlog.get_logger(__name__)
_MAX_LOGGED: Final = 20_000  # characters of a reply with a code that nobody has seen; 200 legs fit


def read_placed(
    result: object,
    market_id: str,
    instructions: Sequence[Instruction],
    slack: Callable[[], Decimal] = lambda: PENNY,
    customer_ref: str = "",
) -> list[LegReport]:
    """Read a PlaceExecutionReport; one answer per instruction, in their order.

    `slack` says by how much a size may be off what was asked; it is asked where one is, no order waits for it.

    Raises:
        WireError: it is none, or one of another market or request.
    """
    sound(result, "report")
    report = as_row(result, "report")
    if report.get("marketId") not in (None, market_id):
        raise WireError("the report is of another market")
    if customer_ref and report.get("customerRef") not in (None, "", customer_ref):
        raise WireError("the report is of another request")  # what it refuses may not be what was sent
    status, code = _said(report)
    outer = policy.outer_verdict(status, code)
    legs = report.get("instructionReports")
    reports = [] if legs is None else as_rows(legs, "instructionReports")
    found = _matched(instructions, reports)
    read = partial(_placed, market_id, slack)
    answers = [_leg(each, found.get(each.order_id), outer, (status, code), read) for each in instructions]
    causes = {code, *(_said(row)[1] for row in found.values())} - policy.CONSEQUENCES - {""}
    if causes:  # else the codes say only that something failed
        said = {each.order_id: {code, _said(found.get(each.order_id, {}))[1]} for each in instructions}
        answers = [replace(each, causes=frozenset(said[each.order_id] & causes)) for each in answers]
    news = policy.is_news(status, code, policy.REPORT_CODES) and code
    for row in found.values():
        news = news or (policy.is_news(*_said(row), policy.LEG_CODES) and _said(row)[1])
    if news or len(found) != len(reports):
        reply = encode(report)[:_MAX_LOGGED]
        _log.error("exchange_report_unexpected", method="placeOrders", code=news or "", reply=reply)
    return answers


def _placed(market_id: str, slack: Callable[[], Decimal], row: Row, instruction: Instruction) -> BetState:
    try:
        return placed_bet(row, instruction, market_id)
    except WireError:
        return placed_bet(row, instruction, market_id, slack())


def read_cancelled(result: object, bet_ids: Sequence[str]) -> list[CancelReport]:
    """Read a CancelExecutionReport; one answer per bet id, in their order.

    Raises:
        WireError: it is none.
    """
    report = as_row(result, "report")
    status, code = _said(report)
    legs = report.get("instructionReports")
    by_bet: dict[str, Row] = {}
    for row in _sound_rows([] if legs is None else as_rows(legs, "instructionReports")):
        echoed = row.get("instruction")
        bet_id = echoed.get("betId") if isinstance(echoed, dict) else None
        if isinstance(bet_id, str):  # a report without a name is nobody's
            by_bet[bet_id] = row
    return [_cancel(bet_id, by_bet.get(bet_id), code or _unnamed(status)) for bet_id in bet_ids]


def _sound_rows(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows that say nothing twice; one that does says nothing of its bet, the next look will."""
    for row in rows:
        with suppress(WireError, RecursionError):
            sound(row, "it")
            yield row


def _cancel(bet_id: str, row: Row | None, outer_code: str) -> CancelReport:
    if row is None:
        return CancelReport(bet_id, done=False, code=outer_code)
    status, code = _said(row)
    if status == "SUCCESS":
        return CancelReport(bet_id, done=True, size_cancelled=_taken(row))
    return CancelReport(bet_id, done=False, code=code or _unnamed(status))


def _taken(row: Row) -> Decimal:
    try:
        return ZERO if row.get("sizeCancelled") is None else size(row, "sizeCancelled")
    except WireError:  # that it was done counts; how much, the next look says
        return ZERO


def _said(report: Row) -> tuple[str, str]:
    status, code = report.get("status"), report.get("errorCode")
    return status if isinstance(status, str) else "", "" if code in (None, "") else policy.clean_code(code)


def _unnamed(*statuses: str) -> str:
    return "TIMEOUT" if "TIMEOUT" in statuses else policy.OTHER_CODE


def _matched(instructions: Sequence[Instruction], reports: Sequence[Row]) -> dict[str, Row]:
    """Return order id -> its report, for those that have exactly one."""
    ours = {each.order_id: each for each in instructions}
    claims: dict[str, list[Row]] = {}
    unnamed: list[Row] = []
    for row in reports:
        echoed = row.get("instruction")
        ref = echoed.get("customerOrderRef") if isinstance(echoed, dict) else None
        if ref in (None, ""):
            unnamed.append(row)
        elif isinstance(ref, str) and ref in ours:
            claims.setdefault(ref, []).append(row)
    unclaimed = [each for ref, each in ours.items() if ref not in claims]
    for each in unclaimed:
        twins = [other for other in unclaimed if _key(other) == _key(each)]
        alike = [row for row in unnamed if _echoed_key(row) == _key(each)]
        if len(twins) == 1:
            claims[each.order_id] = alike
    return {ref: rows[0] for ref, rows in claims.items() if len(rows) == 1}


def _key(instruction: Instruction) -> tuple[Any, ...]:
    return (instruction.selection_id, str(instruction.side), instruction.price, instruction.size)


def _echoed_key(row: Row) -> tuple[Any, ...] | None:
    echoed = row.get("instruction")
    asked = echoed.get("limitOrder") if isinstance(echoed, dict) else None
    if not isinstance(echoed, dict) or not isinstance(asked, dict):
        return None
    return (echoed.get("selectionId"), echoed.get("side"), asked.get("price"), asked.get("size"))


def _leg(
    instruction: Instruction,
    row: Row | None,
    outer: ReportVerdict,
    outer_said: tuple[str, str],
    read: Callable[[Row, Instruction], BetState],
) -> LegReport:
    status, code = _said(row or {})
    has_bet_id = row is not None and bool(row.get("betId"))
    outcome = policy.leg_outcome(outer, status, code, has_bet_id=has_bet_id)
    if outcome is LegOutcome.PLACED and row is not None:
        try:
            bet = read(row, instruction)
        except WireError as error:
            return LegReport(instruction.order_id, LegOutcome.UNKNOWN, policy.OTHER_CODE, str(error))
        return LegReport(instruction.order_id, outcome, bet=bet)
    outer_status, outer_code = outer_said
    own = code if code and policy.LEG_CODES.get(code) is not ReportVerdict.OTHER else ""
    named = own or outer_code or code or _unnamed(status, outer_status)
    detail = f"report {outer_status or 'without a status'} {outer_code}".strip()
    return LegReport(instruction.order_id, outcome, named, f"{detail}, leg {status or 'not reported'} {code}".strip())
