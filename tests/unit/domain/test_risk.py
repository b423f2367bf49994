"""The rules: each reason in its exact words, their order, their edges, and the limits they read."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import (
    LIMITS,
    NOW,
    make_leg,
    make_limits,
    make_order,
    make_risk_inputs,
    make_rules,
    make_signal,
    reserving,
)

from executor.domain.account import FUNDS_LAST_MS, RATES_LAST_MS, Account
from executor.domain.confidence import parse_scale
from executor.domain.limits import parse_change, shown_limit
from executor.domain.market import Market
from executor.domain.money import Side
from executor.domain.order import OrderStatus
from executor.domain.risk import (
    LIMIT_FIELDS,
    LIMIT_RULES,
    SEVEN_RULES,
    InvalidLimits,
    Limits,
    Reason,
    Verdict,
    decide,
    is_true,
    number,
    parse_limit,
    parse_limits,
)
from executor.domain.signal import Leg, Signal

D = Decimal
R = Reason
S = OrderStatus
PROPERTY: Final = settings(deadline=None, max_examples=300)
A, B = 123456, 654321


def judge(signal: Signal, inputs: Mapping[str, Any], rules: Mapping[str, Any] | None = None) -> Verdict:
    """Decide on a signal and check that exactly an accepted one reserves all its legs."""
    verdict, reserved = decide(signal, make_risk_inputs(**inputs), make_rules(**rules or {}), reserving(signal))
    assert verdict.accepted == (verdict.reason is None) == bool(reserved)
    expected = list(signal.legs) if verdict.accepted else []
    assert [Leg(order.selection_id, order.side, order.price, order.size) for order in reserved] == expected
    return verdict


def held(size: object, selection: int = A, side: Side = Side.BACK) -> dict[str, Any]:
    order = make_order(side=side, selection_id=selection, size=D(str(size)), price=D(3), status=S.PENDING)
    return {"orders": [order]}


REJECTED: Final = [  # inputs, leg, rules -> reason, detail, leg (0: before the legs)
    ({"now": NOW, "deadline": NOW}, {}, {}, R.SIGNAL_EXPIRED, "Signal expired 0 ms ago", 0),
    ({"now": NOW + 5, "deadline": NOW}, {}, {}, R.SIGNAL_EXPIRED, "Signal expired 5 ms ago", 0),
    ({"reconciled": False}, {}, {}, R.NOT_RECONCILED, "Orders are not reconciled with the exchange", 0),
    ({"limits": {}}, {}, {}, R.INVALID_LIMITS, "Bankroll is missing", 0),
    ({"unsupported": "Market is each way"}, {}, {}, R.UNSUPPORTED_MARKET, "Market is each way", 0),
    (
        {"limits": make_limits(MaxDailyLoss="lots")},
        {},
        {},
        R.INVALID_LIMITS,
        "MaxDailyLoss is not a number: 'lots'",
        0,
    ),
    (
        {"account": Account("EUR", rate_from="USD", rate=D("0.9"), rates_at=NOW)},
        {},
        {"currency": "GBP"},
        R.RATES_UNKNOWN,
        "No rate of the last day from GBP to EUR",
        0,
    ),
    (
        {"account": Account("GBP", D(30), D(15), read_at=NOW), "held_elsewhere": D("0.01")},
        {"size": D(45)},
        {"check_funds": True},
        R.INSUFFICIENT_FUNDS,
        "Exposure 45.01 over all markets exceeds the 45 that the account can lose",
        1,
    ),
    ({"daily_pnl": "1_0"}, {}, {}, R.INVALID_LIMITS, "today's P&L in Redis is not a number: '1_0'", 0),
    ({"daily_pnl": "NaN"}, {}, {}, R.INVALID_LIMITS, "today's P&L in Redis is not a number: 'NaN'", 0),
    ({}, {"price": D("1.00")}, {}, R.ODDS_OUT_OF_RANGE, "Odds 1 outside 1.01 to 1000", 1),
    ({}, {"price": D("1000.01")}, {}, R.ODDS_OUT_OF_RANGE, "Odds 1000.01 outside 1.01 to 1000", 1),
    ({}, {}, {"min_odds": D("3.05")}, R.ODDS_OUT_OF_RANGE, "Odds 3 outside 3.05 to 1000", 1),
    ({}, {}, {"max_odds": D("2.98")}, R.ODDS_OUT_OF_RANGE, "Odds 3 outside 1.01 to 2.98", 1),
    ({}, {"price": D("0.5")}, {"min_odds": D(0)}, R.ODDS_OUT_OF_RANGE, "Odds 0.5 outside 1.01 to 1000", 1),
    ({}, {"price": D(1001)}, {"max_odds": D(9999)}, R.ODDS_OUT_OF_RANGE, "Odds 1001 outside 1.01 to 1000", 1),
    ({}, {"size": D("1.99")}, {}, R.STAKE_BELOW_MINIMUM, "Stake 1.99 below minimum 2", 1),
    ({}, {"size": D(-50)}, {}, R.STAKE_BELOW_MINIMUM, "Stake -50 below minimum 2", 1),
    ({}, {"size": D("-0.00")}, {"min_stake": D(0)}, R.STAKE_BELOW_MINIMUM, "Stake 0 below minimum 0", 1),
    ({}, {"size": D(200)}, {}, R.MAX_STAKE_PER_ORDER, "Stake 200 exceeds max per order 100", 1),
    ({}, {"size": D("100.01")}, {}, R.MAX_STAKE_PER_ORDER, "Stake 100.01 exceeds max per order 100", 1),
    (
        {"limits": make_limits(Bankroll="1000")},
        {"size": D("20.01")},
        {},
        R.MAX_RISK_PER_TRADE,
        "Risk 20.01 exceeds max per trade 20",
        1,
    ),
    (
        {},
        {"side": Side.LAY, "size": D("100"), "price": D("3.05")},
        {},
        R.MAX_RISK_PER_TRADE,
        "Risk 205 exceeds max per trade 200",
        1,
    ),
    (
        held("150.01"),
        {},
        {},
        R.MAX_EXPOSURE_PER_SELECTION,
        "Selection exposure 200.01 exceeds max per selection 200",
        1,
    ),
    (held("450.01", B), {}, {}, R.MAX_EXPOSURE_PER_MARKET, "Market exposure 500.01 exceeds max per market 500", 1),
    ({"daily_pnl": "-500"}, {}, {}, R.MAX_DAILY_LOSS, "Daily P&L -500 has reached max daily loss 500", 1),
    ({"daily_pnl": "-500.01"}, {}, {}, R.MAX_DAILY_LOSS, "Daily P&L -500.01 has reached max daily loss 500", 1),
    (
        {"limits": make_limits(MaxDailyLoss="0")},
        {},
        {},
        R.MAX_DAILY_LOSS,
        "Daily P&L 0 has reached max daily loss 0",
        1,
    ),
    (
        {"breaker_open": True},
        {},
        {},
        R.CIRCUIT_BREAKER_OPEN,
        "Circuit breaker is open; after fixing the cause: executor resume (SET trading:enabled true)",
        1,
    ),
    (
        {"trading_enabled": False},
        {},
        {},
        R.TRADING_DISABLED,
        "Trading is disabled; to trade: executor resume (SET trading:enabled true)",
        1,
    ),
]


@pytest.mark.parametrize("case", REJECTED, ids=lambda case: case[4])
def test_every_reason_in_its_words(case: tuple[Any, ...]) -> None:
    inputs, leg, rules, reason, detail, at = case
    assert judge(make_signal(make_leg(**leg)), inputs, rules) == Verdict(reason, detail, at)


def test_every_reason_is_covered_here_or_belongs_to_another_step() -> None:
    elsewhere = {R.MALFORMED_SIGNAL, R.DUPLICATE_SIGNAL, R.OVERLOADED, R.TRANSACTION_LIMIT}
    assert set(Reason) - {case[3] for case in REJECTED} == elsewhere
    assert list(SEVEN_RULES) == list(Reason)[-8:-1]
    assert list(LIMIT_RULES) == list(Reason)[-8:-3]


@pytest.mark.parametrize(
    ("inputs", "leg", "rules"),
    [
        ({"now": NOW, "deadline": NOW + 1}, {}, {}),
        ({}, {"price": D("1.01"), "side": Side.LAY}, {}),
        ({}, {"price": D("1000.00")}, {}),
        ({}, {"size": D("2.00")}, {}),
        ({}, {"size": D("0.01")}, {"min_stake": D(0)}),
        ({}, {"size": D("100.00")}, {}),
        ({}, {"side": Side.LAY, "size": D(100)}, {}),  # risk 200 of 200, selection 200 of 200
        (held(150), {}, {}),
        (held(450, B), {}, {}),
        ({"daily_pnl": "-499.99"}, {}, {}),
        ({"daily_pnl": "0"}, {}, {}),
        ({"daily_pnl": "12.5"}, {}, {}),
        ({"breaker_open": True}, {}, {"breaker_enabled": False}),
    ],
)
def test_at_the_edge_a_signal_passes(inputs: dict[str, Any], leg: dict[str, Any], rules: dict[str, Any]) -> None:
    assert judge(make_signal(make_leg(**leg)), inputs, rules) == Verdict()


# Reason -> what violates it and nothing that comes before it.
VIOLATIONS: Final[dict[Reason, tuple[dict[str, Any], dict[str, Any], dict[str, str]]]] = {
    R.SIGNAL_EXPIRED: ({"deadline": NOW}, {}, {}),
    R.NOT_RECONCILED: ({"reconciled": False}, {}, {}),
    R.INVALID_LIMITS: ({"daily_pnl": "?"}, {}, {}),
    R.UNSUPPORTED_MARKET: ({"unsupported": "Market is each way"}, {}, {}),
    R.ODDS_OUT_OF_RANGE: ({}, {"max_odds": D(2)}, {}),
    R.STAKE_BELOW_MINIMUM: ({}, {"min_stake": D(1000)}, {}),
    R.MAX_STAKE_PER_ORDER: ({}, {}, {"MaxStakePerOrder": "49.99"}),
    R.MAX_RISK_PER_TRADE: ({}, {}, {"MaxRiskPerTradePercent": "0.004"}),
    R.MAX_EXPOSURE_PER_SELECTION: ({}, {}, {"MaxExposurePerSelection": "49.99"}),
    R.MAX_EXPOSURE_PER_MARKET: ({}, {}, {"MaxExposurePerMarket": "49.99"}),
    R.MAX_DAILY_LOSS: ({}, {}, {"MaxDailyLoss": "0"}),
    R.CIRCUIT_BREAKER_OPEN: ({"breaker_open": True}, {}, {}),
    R.TRADING_DISABLED: ({"trading_enabled": False}, {}, {}),
}


@PROPERTY
@given(st.sets(st.sampled_from(list(VIOLATIONS))), st.booleans(), st.booleans())
def test_of_several_violations_the_first_is_told_and_switches_skip_exactly_theirs(
    violated: set[Reason], risk: bool, breaker: bool
) -> None:
    inputs: dict[str, Any] = {}
    rules: dict[str, Any] = {"enabled": risk, "breaker_enabled": breaker}
    limits = dict(LIMITS)
    for reason in violated:
        for target, more in zip((inputs, rules, limits), VIOLATIONS[reason], strict=True):
            target.update(more)
    skipped = {*(() if risk else LIMIT_RULES), *(() if breaker else (R.CIRCUIT_BREAKER_OPEN,))}
    expected = next((reason for reason in Reason if reason in violated - skipped), None)
    assert judge(make_signal(), {"limits": limits, **inputs}, rules).reason is expected


def test_the_second_leg_sees_the_firsts_reservation() -> None:
    back, more = make_leg(size=D(100), selection_id=A), make_leg(size=D("100.00"), selection_id=A)
    assert judge(make_signal(back, more), {}) == Verdict()
    detail = "Selection exposure 200.01 exceeds max per selection 200"
    assert judge(make_signal(back, more), held("0.01")) == Verdict(R.MAX_EXPOSURE_PER_SELECTION, detail, 2)
    market = make_limits(MaxExposurePerMarket="199.99")
    detail = "Market exposure 200 exceeds max per market 199.99"
    elsewhere = make_leg(size=D(100), selection_id=B)
    assert judge(make_signal(back, elsewhere), {"limits": market}) == Verdict(R.MAX_EXPOSURE_PER_MARKET, detail, 2)


def test_leg_by_leg_the_first_failing_leg_names_it() -> None:
    good, bad, worse = make_leg(), make_leg(size=D(101)), make_leg(price=D(1))
    assert judge(make_signal(good, bad), {}).leg == 2
    assert judge(make_signal(bad, worse), {}).reason is R.MAX_STAKE_PER_ORDER  # though odds are judged before stakes
    assert judge(make_signal(bad, worse), {}).leg == 1


lowered = st.sampled_from(["0", "1", "10"])


@PROPERTY
@given(st.integers(200, 10_000), st.integers(200, 10_000), lowered, lowered)
def test_an_order_that_closes_a_position_is_not_refused_for_limits_lowered_since(
    backed: int, laid: int, selection: str, market: str
) -> None:
    position = make_order(
        status=S.MATCHED, size=D(backed) / 100, size_matched=D(backed) / 100, average_price_matched=D(3)
    )
    limits = make_limits(MaxExposurePerSelection=selection, MaxExposurePerMarket=market)
    lay = make_leg(side=Side.LAY, price=D(3), size=D(min(laid, backed)) / 100)
    assert judge(make_signal(lay), {"orders": [position], "limits": limits}).accepted
    too_much = make_leg(side=Side.LAY, price=D(3), size=D(backed) / 100 + 15)  # worst case 30 - or more than held
    verdict = judge(make_signal(too_much), {"orders": [position], "limits": make_limits(MaxExposurePerSelection="0")})
    assert verdict.accepted == (too_much.size <= 100 and (too_much.size - D(backed) / 100) * 2 <= D(backed) / 100)


GOOD_LIMITS: Final = [
    ("0", "0"),
    ("100", "100"),
    ("100.50", "100.50"),
    (" 7 \n", "7"),
    ("1e3", "1000"),
    ("1000000000", "1e9"),
]
BAD_LIMITS: Final = [
    *["", " ", "ten", "1_000", "1,000", "1.000,00", "NaN", "nan", "sNaN", "Infinity", "-inf", "٢٠٠", "\uff12", "0x10"],
    *["--1", "True", "1e1000", "1e-999999", "9" * 40, "1 000", "100 EUR", "\x00"],
]


@pytest.mark.parametrize("field", LIMIT_FIELDS)
def test_what_a_limit_may_be(field: str) -> None:
    scale = D(1) if field != "MaxRiskPerTradePercent" else D("1e-9")
    for text, value in GOOD_LIMITS:
        if scale == 1:
            assert parse_limit(field, text) == D(value)
    assert parse_limit(field, "0.02") == D("0.02")
    top = D("1e9") * scale
    assert parse_limit(field, str(top)) == top
    for text in (f"{top * D('1.01'):f}", "-0.01", "-100"):
        share = r"; it is a share of the bankroll: for [0-9.]+ % write 0\.\d+" if scale != 1 else ""
        with pytest.raises(InvalidLimits, match=f"^{field} must be from 0 to {number(top)}, not {text}{share}$"):
            parse_limit(field, text)
    for text in BAD_LIMITS:
        with pytest.raises(InvalidLimits, match=f"^{field} is not a number: ") as caught:
            parse_limit(field, text)
        assert str(caught.value).isprintable()
    with pytest.raises(InvalidLimits, match=f"^{field} is missing$"):
        parse_limit(field, None)


@pytest.mark.parametrize(("text", "share"), [("2%", "0.02"), (" 2.5 % ", "0.025"), ("100%", "1"), ("0.02", "0.02")])
def test_a_share_may_be_written_in_per_cent(text: str, share: str) -> None:
    assert parse_change("MaxRiskPerTradePercent", text) == D(share)
    assert shown_limit("MaxRiskPerTradePercent", D("0.02")) == "0.02 (2 %)"
    assert shown_limit("Bankroll", D(100)) == "100"


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("MaxRiskPerTradePercent", "2", "for 2 % write 0.02"),
        ("MaxRiskPerTradePercent", "12.5", "for 12.5 % write 0.125"),
        ("MaxRiskPerTradePercent", "200%", "must be from 0 to 1"),
        ("MaxRiskPerTradePercent", "-2%", "must be from 0 to 1"),
        ("MaxRiskPerTradePercent", "two%", "is not a number: 'two%'"),
        ("MaxRiskPerTradePercent", "2%%", "is not a number"),
        ("MaxStakePerOrder", "2%", "is not a number: '2%'"),
    ],
)
def test_what_is_no_share_is_refused_with_what_to_write(field: str, text: str, said: str) -> None:
    with pytest.raises(InvalidLimits, match=re.escape(said)):
        parse_change(field, text)


def test_an_unknown_limit_is_named() -> None:
    with pytest.raises(InvalidLimits, match="unknown limit MaxFun; known: Bankroll, MaxExposurePerMarket,"):
        parse_limit("MaxFun", "1")


def test_the_hash_is_read_whole() -> None:
    assert parse_limits({**LIMITS, "SomethingElse": "x"}) == Limits(
        D(10_000), D(500), D(200), D(100), D(500), D("0.02")
    )
    for field in LIMIT_FIELDS:
        with pytest.raises(InvalidLimits, match=f"{field} is missing"):
            parse_limits({name: text for name, text in LIMITS.items() if name != field})


@pytest.mark.parametrize("text", ["true", "TRUE", "True", "tRuE", "1"])
def test_the_kill_switch_trades(text: str) -> None:
    assert is_true(text)


@pytest.mark.parametrize(
    "text", [None, "", "0", "false", "yes", "on", "enabled", "1.0", "11", "true ", " true", "true\n", "\uff11", "null"]
)
def test_everything_else_does_not(text: str | None) -> None:
    assert not is_true(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [("200.00", "200"), ("0.00", "0"), ("-0", "0"), ("1E+3", "1000"), ("0.020", "0.02"), ("-500.10", "-500.1")],
)
def test_numbers_are_written_as_the_reference_does(value: str, text: str) -> None:
    assert number(D(value)) == text


def test_a_mistyped_tiny_limit_is_told_in_one_short_line() -> None:
    verdict = judge(make_signal(), {"limits": make_limits(MaxStakePerOrder="1e-99999999")})
    assert verdict == Verdict(R.INVALID_LIMITS, "MaxStakePerOrder is not a number: '1e-99999999'", 0)


ENOUGH: Final = Account("GBP", D(30), D(20), read_at=NOW)


@pytest.mark.parametrize(
    ("account", "more", "refused"),
    [
        (ENOUGH, {}, False),  # 50 of 50
        (replace(ENOUGH, available=D("29.99")), {}, True),
        (replace(ENOUGH, others=D("0.01")), {}, True),
        (replace(ENOUGH, lost=D("0.01")), {}, True),
        (replace(ENOUGH, exposure_limit=D("49.99")), {}, True),
        (replace(ENOUGH, exposure_limit=D(50)), {}, False),
        (ENOUGH, {"held_elsewhere": D("0.01")}, True),
        (ENOUGH, {"foreign": {9: D("0.01")}}, True),
        (replace(ENOUGH, available=D(1), read_at=NOW - FUNDS_LAST_MS), {}, True),
        (replace(ENOUGH, available=D(1), read_at=NOW - FUNDS_LAST_MS - 1), {}, False),  # old: the exchange decides
        (Account("GBP"), {}, False),  # never read
        (replace(ENOUGH, available=D(-60)), {}, True),
    ],
)
def test_funds_are_what_the_account_can_lose_beside_everything_else(
    account: Account, more: dict[str, Any], refused: bool
) -> None:
    verdict = judge(make_signal(), {"account": account, **more}, {"check_funds": True})
    assert verdict.reason == (R.INSUFFICIENT_FUNDS if refused else None)
    assert judge(make_signal(), {"account": account, **more}).accepted, "the check is off"


def test_what_adds_nothing_to_the_worst_case_needs_no_funds() -> None:
    inputs = {**held(100), "account": replace(ENOUGH, available=D(0))}
    closing = make_signal(make_leg(selection_id=A, side=Side.LAY, size=D(40)))
    assert judge(closing, inputs, {"check_funds": True}).accepted
    assert judge(make_signal(), inputs, {"check_funds": True}).reason is R.INSUFFICIENT_FUNDS


def test_funds_are_netted_as_the_exchange_nets_them_whatever_rule_four_counts() -> None:
    market = Market("1.2", "WIN", "ODDS", "CLASSIC", winners=1, runners=(A, B), complete=True)
    inputs = {
        "orders": [make_order(side=Side.LAY, selection_id=B, size=D(25), price=D(3), status=S.PENDING)],
        "account": ENOUGH,
        "limits": make_limits(MaxExposurePerMarket="999"),
    }
    signal = make_signal(make_leg(selection_id=A, side=Side.LAY, price=D(3), size=D(25)))
    assert judge(signal, {**inputs, "market": market}, {"check_funds": True}).accepted  # one of them wins: 50
    assert judge(signal, inputs, {"check_funds": True}).reason is R.INSUFFICIENT_FUNDS  # 100


@pytest.mark.parametrize(
    ("confidence", "stake", "factor"),
    [
        (None, "25", "no confidence: 0.25"),
        ("0", "25", "confidence 0: 0.25"),
        ("0.5", "25", "confidence 0.5: 0.25"),
        ("0.7", "62.5", "confidence 0.7: 0.625"),
        ("0.9", "100", ""),
        ("1", "100", ""),
        ("80", "25", "confidence 80: 0.25"),  # no share: it says nothing
        ("-1", "25", "confidence -1: 0.25"),
    ],
)
def test_confidence_scales_the_limits_per_order(confidence: str | None, stake: str, factor: str) -> None:
    rules = {"confidence": parse_scale("0.5:0.25,0.9:1")}
    given = None if confidence is None else D(confidence)
    assert judge(make_signal(make_leg(size=D(stake)), confidence=given), {}, rules).accepted
    over = judge(make_signal(make_leg(size=D(stake) + D("0.01")), confidence=given), {}, rules)
    said = f" ({factor} of the limit)" if factor else ""
    assert over.detail == f"Stake {number(D(stake) + D('0.01'))} exceeds max per order {stake}{said}"
    risky = judge(make_signal(make_leg(side=Side.LAY, price=D(1000), size=D(2)), confidence=given), {}, rules)
    assert risky.detail == f"Risk 1998 exceeds max per trade {number(D(stake) * 2)}{said}"


@given(
    st.lists(
        st.tuples(st.decimals(0, 1, places=3), st.decimals(0, 1, places=3)),
        min_size=1,
        max_size=6,
        unique_by=lambda point: point[0],
    ),
    st.none() | st.decimals(-1, 2, places=4),
)
@PROPERTY
def test_a_factor_lies_between_those_of_the_points(points: list[tuple[D, D]], confidence: D | None) -> None:
    scale = parse_scale(",".join(f"{at:f}:{factor:f}" for at, factor in sorted(points)))
    factors = [factor for _, factor in points]
    found = scale.factor(confidence)
    assert min(factors) - D("0.0001") <= found <= max(factors) <= 1
    if confidence is None or not 0 <= confidence <= 1:
        assert found == min(factors)
    for at, factor in points:
        assert scale.factor(at) == factor


@pytest.mark.parametrize(
    "text", ["0.5", "0.5:x", "0.5:1.1", "0.5:-1", "0.9:1,0.5:0.2", "0.5:1,0.5:1", ":", "a:b", "0.5:1,"]
)
def test_a_scale_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should"):
        parse_scale(text)


def test_limits_in_another_currency_are_converted_against_us() -> None:
    account = Account("EUR", rate_from="GBP", rate=D("1.155"), rates_at=NOW)
    inputs, rules = {"account": account}, {"currency": "GBP"}
    assert judge(make_signal(make_leg(size=D("115.5"))), inputs, rules).accepted
    over = judge(make_signal(make_leg(size=D("115.51"))), inputs, rules)
    assert over.detail == "Stake 115.51 exceeds max per order 115.5 (1 GBP is 1.155 EUR)"
    lost = judge(make_signal(), {**inputs, "daily_pnl": "-577.5"}, rules)
    assert lost.detail == "Daily P&L -577.5 has reached max daily loss 577.5 (1 GBP is 1.155 EUR)"
    assert judge(make_signal(), {**inputs, "daily_pnl": "-577.49"}, rules).accepted
    assert judge(make_signal(), {"account": replace(account, currency="GBP")}, rules).accepted
    for known in (replace(account, rates_at=NOW - RATES_LAST_MS - 1), Account(), replace(account, rate=None)):
        assert judge(make_signal(), {"account": known}, rules).reason is R.RATES_UNKNOWN
    assert judge(make_signal(), {"account": replace(account, rates_at=NOW - RATES_LAST_MS)}, rules).accepted


def test_a_hedge_may_only_reduce_and_is_not_stopped_by_the_days_loss() -> None:
    def hedge(size: str, **inputs: Any) -> Verdict:
        signal = make_signal(
            make_leg(selection_id=A, side=Side.LAY, size=D(size)), signal_id="hedge-1", strategy="hedge"
        )
        return judge(signal, {**held(100), "limits": make_limits(MaxExposurePerSelection="50"), **inputs})

    assert hedge("40").accepted
    assert hedge("40", daily_pnl="-500").accepted
    assert hedge("60").reason is R.MAX_EXPOSURE_PER_SELECTION  # unmatched backs cover nothing: 120 if it wins
    assert hedge("40", trading_enabled=False).reason is R.TRADING_DISABLED
    assert hedge("40", breaker_open=True).reason is R.CIRCUIT_BREAKER_OPEN
    assert judge(make_signal(strategy="hedge"), {"daily_pnl": "-500"}).reason is R.MAX_DAILY_LOSS
