"""The outcome policy: every code that Betfair documents, and what is not documented."""

import json
from decimal import Decimal
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_rig import make_instruction

from executor.adapters.betfair import outcomes as policy
from executor.adapters.betfair.json_text import WireError, decode, encode, sound
from executor.adapters.betfair.outcomes import Fault, ReportVerdict
from executor.adapters.betfair.reports import read_cancelled, read_placed
from executor.adapters.betfair.rpc import read_fault
from executor.domain.money import Side
from executor.errors import OutcomeUnknown, Refused, SessionExpired, Throttled
from executor.ports import LegOutcome

REFUSED, NOT_SENT, UNKNOWN, PLACED = LegOutcome.REFUSED, LegOutcome.NOT_SENT, LegOutcome.UNKNOWN, LegOutcome.PLACED
MARKET = "1.234"

# Written out again, by decision instead of by code: a slip in the table has to be made twice.
REPORT_REFUSED = """BET_ACTION_ERROR INVALID_ACCOUNT_STATE INVALID_WALLET_STATUS INSUFFICIENT_FUNDS LOSS_LIMIT_EXCEEDED
    MARKET_SUSPENDED MARKET_NOT_OPEN_FOR_BETTING INVALID_ORDER INVALID_MARKET_ID DUPLICATE_BETIDS TOO_MANY_INSTRUCTIONS
    INVALID_MARKET_VERSION INVALID_PROFIT_RATIO PERMISSION_DENIED REJECTED_BY_REGULATOR NO_CHASING
    EVENT_EXPOSURE_LIMIT_EXCEEDED EVENT_MATCHED_EXPOSURE_LIMIT_EXCEEDED EVENT_BLOCKED A_CODE_OF_TOMORROW"""
REPORT_UNKNOWN = """DUPLICATE_TRANSACTION ERROR_IN_MATCHER NO_ACTION_REQUIRED NO_CHANGE BET_IN_PROGRESS UNEXPECTED_ERROR
    TIMEOUT TIMEOUT_ERROR"""
REPORT_NOT_SENT = "SERVICE_UNAVAILABLE REGULATOR_IS_NOT_AVAILABLE SERVICE_BUSY TOO_MANY_REQUESTS"
LEG_REFUSED = """INVALID_BET_SIZE INVALID_ODDS INVALID_BID_TYPE INVALID_PERSISTENCE_TYPE INVALID_ORDER_TYPE
    TIME_IN_FORCE_CONFLICT UNEXPECTED_PERSISTENCE_TYPE UNEXPECTED_MIN_FILL_SIZE INVALID_MIN_FILL_SIZE
    INVALID_CUSTOMER_ORDER_REF INVALID_CUSTOMER_STRATEGY_REF INVALID_PROFIT_RATIO INVALID_PRICE_EDIT
    INVALID_BACK_LAY_COMBINATION INVALID_RUNNER RUNNER_REMOVED MARKET_NOT_OPEN_FOR_BETTING
    MARKET_NOT_OPEN_FOR_BSP_BETTING INSUFFICIENT_FUNDS LOSS_LIMIT_EXCEEDED BET_TAKEN_OR_LAPSED CANCELLED_NOT_PLACED
    BET_LAPSED_PRICE_IMPROVEMENT_TOO_LARGE MARKET_SUSPENDED A_CODE_OF_TOMORROW"""
LEG_UNKNOWN = """BET_IN_PROGRESS ERROR_IN_MATCHER INVALID_BET_ID NO_ACTION_REQUIRED DUPLICATE_TRANSACTION TIMEOUT
    TIMEOUT_ERROR UNEXPECTED_ERROR"""
LEG_NOT_SENT = "SERVICE_UNAVAILABLE REGULATOR_IS_NOT_AVAILABLE"
EXCEPTIONS = {
    Refused: """NO_APP_KEY INVALID_APP_KEY ACCESS_DENIED INVALID_INPUT_DATA TOO_MUCH_DATA REQUEST_SIZE_EXCEEDS_LIMIT
        INVALID_MARKET_GROUP EXPOSURE_LIMIT_NOT_EXIST MARKET_GROUP_NOT_BLOCKED""",
    Throttled: "SERVICE_BUSY TOO_MANY_REQUESTS",
    SessionExpired: "INVALID_SESSION_INFORMATION NO_SESSION",
    OutcomeUnknown: "TIMEOUT_ERROR UNEXPECTED_ERROR A_CODE_OF_TOMORROW",
}


def cases(*groups: tuple[str, LegOutcome]) -> list[tuple[str, LegOutcome]]:
    return [(code, outcome) for codes, outcome in groups for code in codes.split()]


def leg(order_id: str = "order-1", status: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    """Return an instruction report as Betfair sends it today."""
    instruction = {"customerOrderRef": order_id, "selectionId": 123456}
    placed = {"betId": "31242604945", "orderStatus": "EXECUTABLE", "sizeMatched": Decimal(0)}
    return {"status": status, "instruction": instruction} | (placed if status == "SUCCESS" else {}) | more


def report(*legs: dict[str, Any], status: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    return {"status": status, "marketId": MARKET, "instructionReports": list(legs)} | more


def outcomes(result: object, *order_ids: str) -> list[LegOutcome]:
    instructions = [make_instruction(order_id) for order_id in order_ids or ("order-1",)]
    answers = read_placed(result, MARKET, instructions)
    assert [answer.order_id for answer in answers] == [each.order_id for each in instructions]
    assert all((answer.bet is not None) == (answer.outcome is PLACED) for answer in answers)
    assert all((answer.code == "") == (answer.outcome is PLACED) for answer in answers)
    return [answer.outcome for answer in answers]


@pytest.mark.parametrize(
    ("code", "outcome"), cases((REPORT_REFUSED, REFUSED), (REPORT_UNKNOWN, UNKNOWN), (REPORT_NOT_SENT, NOT_SENT))
)
def test_a_failed_report_decides_legs_that_say_nothing_themselves(code: str, outcome: LegOutcome) -> None:
    failed = report(status="FAILURE", errorCode=code)
    assert outcomes(failed) == [outcome]
    del failed["instructionReports"]
    assert outcomes(failed) == [outcome]
    for follower in ("ERROR_IN_ORDER", "RELATED_ACTION_FAILED"):
        answers = read_placed(
            report(leg(status="FAILURE", errorCode=follower), status="FAILURE", errorCode=code),
            MARKET,
            [make_instruction()],
        )
        assert [(answer.outcome, answer.code) for answer in answers] == [(outcome, code)]


@pytest.mark.parametrize("outer", ["BET_ACTION_ERROR", "PROCESSED_WITH_ERRORS", ""])
@pytest.mark.parametrize("follower", ["ERROR_IN_ORDER", "RELATED_ACTION_FAILED", ""])
def test_a_leg_that_failed_for_another_is_no_reason_of_its_own(outer: str, follower: str) -> None:
    status = "PROCESSED_WITH_ERRORS" if outer == "PROCESSED_WITH_ERRORS" else "FAILURE"
    suspended = leg("a", status="FAILURE", errorCode="MARKET_SUSPENDED")
    other = leg("b", status="FAILURE", errorCode=follower)
    for legs in ((suspended, other), (other, suspended)):
        answers = read_placed(
            report(*legs, status=status, errorCode=outer), MARKET, [make_instruction("a"), make_instruction("b")]
        )
        assert [answer.root_codes for answer in answers] == [{"MARKET_SUSPENDED"}, set()]
    alone = read_placed(
        report(other, status="FAILURE", errorCode="INSUFFICIENT_FUNDS"), MARKET, [make_instruction("b")]
    )
    assert alone[0].root_codes == {"INSUFFICIENT_FUNDS"}
    nothing = read_placed(report(other, status="FAILURE", errorCode=outer), MARKET, [make_instruction("b")])
    assert nothing[0].root_codes == {nothing[0].code}


@pytest.mark.parametrize(
    ("code", "outcome"), cases((LEG_REFUSED, REFUSED), (LEG_UNKNOWN, UNKNOWN), (LEG_NOT_SENT, NOT_SENT))
)
def test_a_leg_decides_itself_unless_the_report_is_unknown(code: str, outcome: LegOutcome) -> None:
    failed = leg(status="FAILURE", errorCode=code)
    for outer in ("SUCCESS", "PROCESSED_WITH_ERRORS"):
        assert outcomes(report(failed, status=outer)) == [outcome]
    assert outcomes(report(failed, status="FAILURE", errorCode="BET_ACTION_ERROR")) == [outcome]
    for outer_code in REPORT_UNKNOWN.split():
        assert outcomes(report(failed, status="FAILURE", errorCode=outer_code)) == [UNKNOWN]
    assert outcomes(report(failed, status="TIMEOUT")) == [UNKNOWN]


def test_the_tables_are_complete() -> None:
    documented = f"{REPORT_REFUSED} {REPORT_UNKNOWN} {REPORT_NOT_SENT} PROCESSED_WITH_ERRORS".split()
    assert set(policy.REPORT_CODES) == set(documented) - {"A_CODE_OF_TOMORROW"}
    documented = f"{LEG_REFUSED} {LEG_UNKNOWN} {LEG_NOT_SENT} ERROR_IN_ORDER RELATED_ACTION_FAILED".split()
    assert set(policy.LEG_CODES) == set(documented) - {"A_CODE_OF_TOMORROW"}
    documented = " ".join(EXCEPTIONS.values()).split()
    assert set(policy.EXCEPTION_CODES) == set(documented) - {"A_CODE_OF_TOMORROW"}


def test_a_report_in_part_is_read_leg_by_leg() -> None:
    legs = [
        leg("c", "TIMEOUT"),
        leg("b", "FAILURE", errorCode="INVALID_ODDS"),
        leg("e", "STATUS_OF_TOMORROW"),
        leg("f", betId=None),
        leg("a"),
    ]
    mixed = report(*legs, status="PROCESSED_WITH_ERRORS", errorCode="PROCESSED_WITH_ERRORS")
    assert outcomes(mixed, "a", "b", "c", "d", "e", "f") == [PLACED, REFUSED, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("status", ["TIMEOUT", "STATUS_OF_TOMORROW", ""])
def test_a_bet_id_is_evidence_even_in_a_report_without_a_verdict(status: str) -> None:
    assert outcomes(report(leg("a"), status=status), "a", "b") == [PLACED, UNKNOWN]


def test_a_contradiction_is_unknown() -> None:
    assert outcomes(report(leg(), status="FAILURE", errorCode="INSUFFICIENT_FUNDS")) == [UNKNOWN]
    assert outcomes(report(leg("a"), leg("a"), leg("b")), "a", "b") == [UNKNOWN, PLACED]
    assert outcomes(report(leg("somebody-else"))) == [UNKNOWN]
    with pytest.raises(WireError, match="another market"):
        read_placed(report(leg(), marketId="1.999"), MARKET, [make_instruction()])
    others = report(status="FAILURE", errorCode="MARKET_SUSPENDED", customerRef="another")
    with pytest.raises(WireError, match="another request"):  # what it refuses may be at the exchange, of ours
        read_placed(others, MARKET, [make_instruction()], customer_ref="ours")
    for ref in (None, "", "ours"):
        [answer] = read_placed(report(leg(), customerRef=ref), MARKET, [make_instruction()], customer_ref="ours")
        assert answer.outcome is PLACED


def test_what_a_placed_leg_says_becomes_the_bet() -> None:
    row = leg(sizeMatched=Decimal("4.000000000001"), averagePriceMatched=Decimal("3.0123"))
    [answer] = read_placed(report(row), MARKET, [make_instruction()])
    assert answer.bet is not None
    assert (answer.bet.bet_id, answer.bet.executable) == ("31242604945", True)
    assert (answer.bet.size_matched, answer.bet.average_price_matched) == (Decimal("4.00"), Decimal("3.0123"))
    [answer] = read_placed(report(leg(sizeMatched=10)), MARKET, [make_instruction()])
    assert answer.bet is not None
    assert not answer.bet.executable
    # A complete one whose rest was not matched: the report does not say what became of it, so it is asked for.
    row = leg(sizeMatched=4, orderStatus="EXECUTION_COMPLETE")
    [answer] = read_placed(report(row), MARKET, [make_instruction()])
    assert answer.bet is not None
    assert answer.bet.executable


def without_ref(side: str = "BACK", size: str = "10.0", **more: Any) -> dict[str, Any]:
    asked = {"size": Decimal(size), "price": Decimal("3.0"), "persistenceType": "LAPSE"}
    return leg(instruction={"selectionId": 123456, "side": side, "limitOrder": asked}, **more)


def test_reports_without_a_reference_are_told_apart_by_what_was_asked() -> None:
    back, lay = make_instruction("back"), make_instruction("lay", side=Side.LAY)
    result = report(without_ref("LAY", betId="2"), without_ref("BACK", betId="1"))
    answers = read_placed(result, MARKET, [back, lay])
    assert [answer.bet and answer.bet.bet_id for answer in answers] == ["1", "2"]
    twins = [make_instruction("a"), make_instruction("b")]
    answers = read_placed(report(without_ref(betId="1"), without_ref(betId="2")), MARKET, twins)
    assert [answer.outcome for answer in answers] == [UNKNOWN, UNKNOWN]
    answers = read_placed(report(without_ref(betId="1"), without_ref(betId="2")), MARKET, [back])
    assert [answer.outcome for answer in answers] == [UNKNOWN]
    answers = read_placed(report(leg("a"), without_ref(betId="2")), MARKET, twins)
    assert [answer.outcome for answer in answers] == [PLACED, PLACED]
    assert outcomes(report(without_ref(size="9.0"))) == [UNKNOWN]
    assert outcomes(report({"status": "SUCCESS", "betId": "1"})) == [UNKNOWN]


def test_cancel_reports_are_matched_by_bet() -> None:
    def row(bet_id: str, status: str = "SUCCESS", **more: Any) -> dict[str, Any]:
        return {"status": status, "instruction": {"betId": bet_id}} | more

    rows = [
        row("2", "FAILURE", errorCode="BET_TAKEN_OR_LAPSED"),
        row("3", "TIMEOUT"),
        row("1", sizeCancelled=Decimal("2.0")),
    ]
    answers = read_cancelled(report(*rows, status="PROCESSED_WITH_ERRORS"), ["1", "2", "3", "4"])
    assert [(each.bet_id, each.done, each.code, each.size_cancelled) for each in answers] == [
        ("1", True, "", Decimal("2.00")),
        ("2", False, "BET_TAKEN_OR_LAPSED", Decimal(0)),
        ("3", False, "TIMEOUT", Decimal(0)),
        ("4", False, "OTHER", Decimal(0)),
    ]
    refused = {"status": "FAILURE", "errorCode": "MARKET_SUSPENDED"}
    assert [each.code for each in read_cancelled(refused, ["1"])] == ["MARKET_SUSPENDED"]


@pytest.mark.parametrize(
    ("expected", "code"), [(error, code) for error, codes in EXCEPTIONS.items() for code in codes.split()]
)
def test_exceptions_are_named_by_what_to_do(expected: type[Exception], code: str) -> None:
    for name in ("APINGException", "AccountAPINGException"):
        data = {"exceptionname": name, name: {"errorCode": code, "requestUUID": "prdang-7", "errorDetails": "why"}}
        found, fault, detail = read_fault({"code": -32099, "message": "ANGX-0001", "data": data})
        error = policy.fault_error(fault, found, detail)
        assert type(error) is expected
        assert found == code
        assert "prdang-7" in detail
        if isinstance(error, Throttled):
            assert error.after_s > 0


@pytest.mark.parametrize(
    ("number", "message", "code", "fault"),
    [
        (-32602, "DSC-0018", "DSC-0018", Fault.REFUSED),
        (-32099, "DSC-0015", "DSC-0015", Fault.REFUSED),
        (-32099, "DSC-0019", "DSC-0019", Fault.UNKNOWN),
        (-32099, "DSC-0026", "DSC-0026", Fault.UNKNOWN),
        (-32700, "DSC-9999", "RPC-32700", Fault.REFUSED),
        (-32600, "", "RPC-32600", Fault.REFUSED),
        (-32601, None, "RPC-32601", Fault.REFUSED),
        (-32602, "", "RPC-32602", Fault.REFUSED),
        (-32603, "", "RPC-32603", Fault.UNKNOWN),
        (-32099, "ANGX-0003", "RPC-32099", Fault.UNKNOWN),
        (-1, "", "OTHER", Fault.UNKNOWN),
        (None, None, "OTHER", Fault.UNKNOWN),
    ],
)
def test_errors_without_an_exception(number: object, message: object, code: str, fault: Fault) -> None:
    assert read_fault({"code": number, "message": message})[:2] == (code, fault)


@given(st.sampled_from(ReportVerdict), st.text(max_size=12), st.text(max_size=12), st.booleans())
def test_nothing_is_placed_without_a_bet_id_and_no_unknown_becomes_a_no(
    outer: ReportVerdict, status: str, code: str, has_bet_id: bool
) -> None:
    outcome = policy.leg_outcome(outer, status, code, has_bet_id=has_bet_id)
    if outcome is PLACED:
        assert (has_bet_id, status) == (True, "SUCCESS")
    if outer is ReportVerdict.UNKNOWN:
        assert outcome in {PLACED, UNKNOWN}
    if status not in {"SUCCESS", "FAILURE", ""}:
        assert outcome is UNKNOWN


@given(st.text())
def test_labels_come_from_a_closed_set(code: str) -> None:
    allowed = policy.KNOWN_CODES | policy.TRANSPORT_ERRORS | {policy.OTHER_CODE}
    assert policy.label(policy.clean_code(code)) in allowed


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
def test_numbers_travel_with_exactly_their_digits(amount: Decimal) -> None:
    sent = encode({"size": amount})
    assert decode(sent.encode())["size"] == amount
    assert str(json.loads(sent, parse_float=str, parse_int=str)["size"]) == format(amount, "f")


def test_what_is_no_number_is_not_sent() -> None:
    for value in (Decimal("NaN"), Decimal("Infinity"), 1.1, object()):
        with pytest.raises(TypeError):
            encode({"size": value})
    for body in (b'{"error": NaN}', b'{"error": {"code": 1, "code": 2}}'):  # of a whole reply, Rpc asks that of all
        with pytest.raises(WireError):
            sound(decode(body)["error"], "error")
    for body in (
        b'{"a": 1, "a": 2}',
        b'{"size": 1e}',
        b"[]",
        b"",
        b"\xff",
        b"[" * 100_000,
    ):
        with pytest.raises(WireError):
            decode(body)
    for body in (b'{"error": NaN}', b'{"error": {"code": 1, "code": 2}}'):  # whoever relies on it asks
        with pytest.raises(WireError):
            sound(decode(body)["error"], "error")
    for text in (b"NaN", b"1e99999999999999999999", b"9" * 5000, b'{"a": 1, "a": 2}'):  # costs its row, no other
        with pytest.raises(WireError):
            sound(decode(b'{"size": %s}' % text), "row")


# --- the table for people --------------------------------------------------------------------------------------------


def test_the_page_says_what_the_tables_say() -> None:
    root = Path(__file__).parents[3]
    loader = SourceFileLoader("outcomes_page", str(root / ".ci" / "outcomes"))
    page = module_from_spec(spec_from_loader("outcomes_page", loader) or pytest.fail("no such script"))
    loader.exec_module(page)
    assert (root / "docs" / "outcomes.md").read_text(encoding="utf-8") == page.render(), "make outcomes"
