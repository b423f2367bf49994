"""`executor send`: publish signals from a file, after reading them as the bridge will.

Invariant: nothing is published unless every signal of the file is well formed; each is sent as it is written, or signed
as it is written but for a `timestamp`, which a signed one must have. By default through the durable door, where it
waits for a bridge if none is there.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from redis import Redis

from executor import keys, wiring
from executor.adapters.redis.console import add_signal, publish, seen
from executor.cli.output import complain, refuse, say, warn
from executor.cli.session import settings_to_act
from executor.domain.signal import MAX_BYTES, Signal, SignalKind, parse_signal
from executor.errors import InvalidSignal
from executor.operations.access import Access
from executor.operations.publishing import guess_kind
from executor.operations.wording import moment, when
from executor.settings.load import Settings

_CHANNELS: Final = {SignalKind.SUREBET: keys.SUREBET_SIGNALS, SignalKind.STRATEGY: keys.STRATEGY_SIGNALS}
_NAMES: Final = {
    name: kind for kind, channel in _CHANNELS.items() for name in (kind.value, channel.partition(":")[2], channel)
}
_MAX_FILE: Final = 100 * MAX_BYTES  # thousands of usual signals; more is some other file
_SPACE: Final = " \t\r\n"
_NEW: Final = "new"
_MARKET: Final = re.compile(r"""("market_?id"\s*:\s*)("(?:[^"\\]|\\.)*"|[0-9.]+)""", re.IGNORECASE)


class _Door(StrEnum):
    STREAM = "stream"
    PUBSUB = "pubsub"


def _kind(text: str) -> SignalKind:
    kind = _NAMES.get(text.strip().lower())
    if kind is None:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_NAMES)}")
    return kind


def send(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="One JSON object, an array, or one object after another; - is stdin."),
    ],
    *,
    channel: Annotated[
        SignalKind | None,
        typer.Option(parser=_kind, metavar="surebet|strategy", help="By default told from the content."),
    ] = None,
    door: Annotated[
        _Door, typer.Option(help="stream: kept in Redis until a bridge has recorded it; pubsub: heard by who listens.")
    ] = _Door.STREAM,
    new_id: Annotated[
        bool, typer.Option("--new-id", help="Give signals that have no signalId one, new with each sending.")
    ] = False,
    market: Annotated[
        str,
        typer.Option(
            "--market",
            metavar="ID|new",
            help="Into this market instead of the file's; new: one that the sandbox makes, as a settled one is closed.",
        ),
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sign with this private key: a JSON Web Key (docs/publishing.md)."),
    ] = None,
) -> None:
    """Publish trading signals, after validating all of them."""
    try:
        found = list(_split(file.read(_MAX_FILE + 1)))
    except OSError as error:
        refuse(f"{file.name} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        refuse(f"{file.name} holds no JSON that can be read: {error}")
    if market:
        found = [
            _with_market(*each, f"1.{secrets.randbelow(10**9):09d}" if market == _NEW else market) for each in found
        ]
    signals = _validated([_with_id(*each) for each in found] if new_id else found, channel)
    if key is not None:
        signals = _signed(signals, key)
    for signal, _ in signals:
        if signal.moved:
            warn(f"{signal.signal_id}: rounded: {signal.moved}")
    access = Access(settings_to_act())
    fresh = [(signal, text) for signal, text in signals if not _known(access, signal)]
    if door is _Door.STREAM:
        _add(access.settings, access.redis, fresh)
    else:
        _publish(access.redis, fresh)
    if known := len(signals) - len(fresh):
        refuse(f"{known} of {len(signals)} signals are known already, and were not sent: an id is executed once")


def _with_id(value: Any, text: str) -> tuple[Any, str]:  # noqa: ANN401 - as the file has it
    """Put an id in front of a strategy signal that has none; the rest stays as it is written."""
    names = {str(name).replace("_", "").lower() for name in value} if isinstance(value, dict) else set()
    if not names or "signalid" in names or guess_kind(value) is not SignalKind.STRATEGY:
        return value, text
    signal_id = f"sent-{secrets.token_hex(6)}"
    return {**value, "signalId": signal_id}, f'{{"signalId":"{signal_id}",{text.strip()[1:]}'


def _with_market(value: Any, text: str, market: str) -> tuple[Any, str]:  # noqa: ANN401 - as the file has it
    """Put another market in the place of the file's; the rest stays as it is written."""
    changed = _MARKET.sub(lambda found: found[1] + json.dumps(market), text, count=1)
    return (json.loads(changed), changed) if isinstance(value, dict) else (value, text)


def _known(access: Access, signal: Signal) -> bool:
    """Say that a signal of this id, or a surebet of this content, has been recorded before."""
    if not seen(access.redis, signal.signal_id):
        return False
    record = access.store.signal(signal.signal_id)
    what = f"{record.status} since {when(moment(record.updated_at))} UTC" if record else "recorded before"
    complain(f"{signal.signal_id}: known already: {what}")
    return True


def _signed(signals: Sequence[tuple[Signal, str]], key_file: Path) -> list[tuple[Signal, str]]:
    from executor.adapters.signatures import KeysUnusable, read_signing_key, sign  # noqa: PLC0415 - slow to import

    try:
        key = read_signing_key(key_file)
    except KeysUnusable as error:
        refuse(str(error))
    now = datetime.now(UTC).isoformat()
    dated = (
        (signal, text if signal.sent_at is not None else f'{{"timestamp":"{now}",{text.strip()[1:]}')
        for signal, text in signals
    )
    return [(signal, sign(key, text.encode())) for signal, text in dated]


def _add(settings: Settings, client: "Redis", signals: Sequence[tuple[Signal, str]]) -> None:
    for signal, text in signals:
        say(f"{signal.signal_id}: kept in {keys.SIGNALS} as {add_signal(client, signal.kind, text)}")
    if not any(name.startswith("bridge:") for name in wiring.state(settings).read().processes):
        refuse("no bridge is alive: start `executor bridge`; what waits is executed if that is before its deadline")


def _publish(client: "Redis", signals: Sequence[tuple[Signal, str]]) -> None:
    unheard = 0
    for signal, text in signals:
        receivers = publish(client, _CHANNELS[signal.kind], text)
        say(f"{signal.signal_id}: heard by {receivers} on {_CHANNELS[signal.kind]}")
        unheard += not receivers
    if unheard:
        refuse(
            f"{unheard} of {len(signals)} signals were heard by nobody: start `executor bridge`, then send them again"
        )


def _split(raw: bytes) -> Iterator[tuple[Any, str]]:
    """Yield every value of the file, decoded and as it is written.

    Raises:
        ValueError, RecursionError: there is none, or it is no JSON.
    """
    if len(raw) > _MAX_FILE:
        raise ValueError(f"more than {_MAX_FILE} bytes")
    text = raw.decode("utf-8-sig")
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    if at == len(text):
        raise ValueError("it is empty")
    in_array = text[at] == "["
    at = _skip(text, at + in_array)
    while at < len(text) and not (in_array and text[at] == "]"):
        value, end = decoder.raw_decode(text, at)
        yield value, text[at:end]
        at = _skip(text, end)
        if in_array:
            if text[at : at + 1] not in {",", "]"}:
                raise ValueError(f"a comma or ] is expected at character {at}")
            at = _skip(text, at + 1) if text[at] == "," else at
    if in_array and text[at : at + 1] != "]":
        raise ValueError("the array has no end")
    if text[at + in_array :].strip(_SPACE):
        raise ValueError("there is something after the array")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _validated(found: list[tuple[Any, str]], channel: SignalKind | None) -> list[tuple[Signal, str]]:
    signals: list[tuple[Signal, str]] = []
    wrong = 0
    for number, (value, text) in enumerate(found, 1):
        try:
            signals.append((parse_signal(channel or guess_kind(value), text.encode()), text))
        except InvalidSignal as error:
            wrong += 1
            complain(f"signal {number}: {error}")
    if wrong:
        refuse(f"{wrong} of {len(found)} signals are malformed; nothing was published")
    if not signals:
        refuse("there is no signal in it")
    return signals


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command(
        epilog="Example: executor send signal.json\n\nExample: my-strategy | executor send -\n\n"
        "What became of it: executor signals SIGNAL_ID"
    )(send)
