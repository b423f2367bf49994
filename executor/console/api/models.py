"""What the API takes and gives: amounts as decimal text, times ISO 8601 in UTC."""

from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, create_model

from executor.domain.ledger_entry import ACT_FIELDS

T = TypeVar("T")


def _plain(value: Decimal) -> str:
    return f"{value:f}"


Amount = Annotated[
    Decimal,
    PlainSerializer(_plain, return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["10.00"]}),
]
Moment = Annotated[str, Field(examples=["2026-01-31T12:00:00.000Z"])]


class Body(BaseModel):
    """What is sent to us: a field that we do not know is a mistake of the sender."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(BaseModel, Generic[T]):
    """A page of a list; `next` is what `after` should be for the one that follows, null at the end."""

    items: list[T]
    next: str | None = None


class OrderModel(BaseModel):
    """An order, as `executor orders --json` has it."""

    order_id: str
    signal_id: str
    leg: int
    strategy: str
    market_id: str
    selection_id: int
    side: str
    price: Amount
    size: Amount
    size_matched: Amount
    average_price_matched: Amount
    size_cancelled: Amount
    size_lapsed: Amount
    size_voided: Amount
    status: str
    reason: str
    detail: str
    cancel_reason: str
    bet_id: str
    paper: bool
    attempt: int
    profit: Amount | None
    commission: Amount | None
    created_at: Moment | None
    submitted_at: Moment | None
    placed_at: Moment | None
    matched_at: Moment | None
    finished_at: Moment | None
    settled_at: Moment | None


class SignalModel(BaseModel):
    """A signal; `order_ids` where its record is still in Redis."""

    signal_id: str
    kind: str
    strategy: str
    market_id: str
    status: str
    reason: str
    detail: str
    received_at: Moment | None
    finished_at: Moment | None
    order_ids: list[str] = []
    moved: str = ""  # odds and stakes that were brought to the ladder, or to whole pennies


class StepModel(BaseModel):
    """One thing that happened to a signal; leg 0 concerns the whole of it."""

    at: Moment
    what: str
    detail: str
    leg: int
    bad: bool


class TradeModel(BaseModel):
    """A fill or a void, from the ledger."""

    kind: str
    identity: str
    order_id: str
    signal_id: str
    bet_id: str
    strategy: str
    market_id: str
    selection_id: int
    side: str
    size: Amount
    price: Amount
    size_matched: Amount
    average_price_matched: Amount
    at: Moment
    paper: bool


class SignalJourney(SignalModel):
    """One signal whole: its payload as it came, its orders, its fills, and every step with its time."""

    deadline: Moment | None
    attempt: int
    payload: str
    steps: list[StepModel]
    orders: list[OrderModel]
    trades: list[TradeModel]


class LimitsModel(BaseModel):
    """The limits in force; `version` is what If-Match takes."""

    identity: str | None
    limits: dict[str, Amount]
    problems: dict[str, str]
    settings: dict[str, Amount]
    version: str


class LimitsChanged(BaseModel):
    """What a change of limits came to: in force with the next signal."""

    old: dict[str, str | None]
    new: dict[str, Amount]
    problems: dict[str, str]
    version: str


class HaltBody(Body):
    """Why trading is stopped, and whether what is unmatched is cancelled, too."""

    reason: Annotated[str, Field(max_length=200, examples=["prices look wrong"])] = ""
    cancel: bool = False


class TradingAnswer(BaseModel):
    """The switch as it was read back; `obstacles` reject signals all the same, `left` may still be matched."""

    enabled: bool
    warning: Annotated[str, Field(description="why a failover of Redis could switch it back; empty: it could not")] = ""
    obstacles: list[str] = []
    cancel: Annotated[str, Field(description="none, done, not all, or running")] = "none"
    left: list[str] = []


class ResumeBody(Body):
    """Whose db it should be: refused when it is another's."""

    expect_identity: Annotated[str | None, Field(max_length=256)] = None


class CancelBody(Body):
    """Which orders: by their ids, or all that are live."""

    ids: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=500)] = []
    all: bool = False


class CancelAnswer(BaseModel):
    """What cancels came to, a line an order."""

    state: Annotated[str, Field(description="done, not all, or running")]
    cancelled: list[str] = []
    not_cancelled: list[str] = []


class ResolveBody(Body):
    """A person's verdict: it is this bet, or it was not placed."""

    bet_id: Annotated[str, Field(max_length=64)] = ""
    not_placed: bool = False


class RetryBody(Body):
    """`force` gives a stale signal a new deadline."""

    force: bool = False


class ClearBody(Body):
    """Which market; none is all."""

    market: Annotated[str | None, Field(max_length=32)] = None


class FailedModel(BaseModel):
    """What failed for good."""

    task_id: str
    fields: dict[str, str]


class FindingModel(BaseModel):
    """A line of `executor check`."""

    name: str
    result: str
    detail: str
    advice: str


class AlertModel(BaseModel):
    """An alert that stands."""

    alert: str
    since: Moment | None
    detail: str


# The fields of a recorded act, which domain/ledger_entry.py names.
_TEXTS: dict[str, Any] = dict.fromkeys(ACT_FIELDS, (str, ...))
_ActFields = create_model("_ActFields", at=(Moment, ...), **_TEXTS)


class ActModel(_ActFields):
    """What was done by hand, or refused."""


class SelectionModel(BaseModel):
    """What is held on a selection, and what the market pays when it wins; matched bets only."""

    selection_id: int
    back_size: Amount
    back_price: Amount
    lay_size: Amount
    lay_price: Amount
    open_size: Amount
    exposure: Amount
    if_it_wins: Amount


class MarketModel(BaseModel):
    """A market of ours; `if_none_wins`: another selection wins. Matched bets, one winner, before commission."""

    market_id: str
    exposure: Amount
    limit: Amount | None
    selections: list[SelectionModel]
    if_none_wins: Amount
    orders: list[OrderModel]


Status = dict[str, Any]
