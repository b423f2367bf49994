"""Grouping, de-duplication, pace and retries of what one address is told, by times that a test says."""

import re
from dataclasses import replace

import pytest
from support.factories import NOW

from executor.domain.mailbox import Mailbox, Message, again, begin, delivered, failed, is_due, remind, take
from executor.domain.notice import Kind, Level, Notice, notice_fields, read_notice

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
SENDER = "[test]"


def alert(name: str, at: int, *, level: Level = Level.WARNING, over: bool = False, text: str = "why") -> Notice:
    return Notice(kind=Kind.ALERT, level=level, text=text, at=at, key=f"alert:{name}", over=over)


def happened(text: str, at: int, level: Level = Level.WARNING) -> Notice:
    return Notice(kind=Kind.FAILED_TASK, level=level, text=text, at=at)


class Recipient:
    """A mailbox, and a clock that a test moves; `told` are the messages that arrived."""

    def __init__(self, longest: int = 3000) -> None:
        self.longest = longest
        self.box = Mailbox()
        self.now = NOW
        self.told: list[Message] = []
        self.away = False
        self.entries = 0

    def put(self, *notices: Notice) -> None:
        for notice in notices:
            self.entries += 1
            self.box = take(self.box, f"{self.entries}-0", notice, self.now)

    def wait(self, ms: int, step: int = 500) -> None:
        until = self.now + ms
        while self.now < until:
            self.now += step
            self.box = remind(self.box, self.now)
            if is_due(self.box, self.now):
                self.box = begin(self.box, self.now, SENDER, self.longest)
                message = self.box.sending
                assert message is not None
                if self.away:
                    self.box = failed(self.box, "it is away", self.now)
                else:
                    self.told.append(message)
                    self.box = delivered(self.box, self.now)

    @property
    def bodies(self) -> str:
        return "\n".join(message.body for message in self.told)


def test_five_hundred_at_once_are_one_message_and_none_is_silent() -> None:
    to = Recipient()
    to.put(*(happened(f"task {number} failed", to.now) for number in range(500)))
    to.wait(5 * MINUTE)
    (message,) = to.told
    assert message.title == "[test]: 301 warnings"
    assert "task 0 failed" in message.body
    assert " more: executor status" in message.body
    assert sum(item.count for item in message.items.values()) == 500
    assert len(message.body) < 4096


def test_five_hundred_spread_over_a_minute_are_one_message() -> None:
    to = Recipient()
    for number in range(500):
        to.put(alert(f"a{number}", to.now))
        to.wait(120, step=120)
    to.wait(10 * MINUTE)
    assert len(to.told) == 1
    assert to.told[0].title == "[test]: 500 warnings"


def test_what_is_critical_goes_within_seconds_and_first() -> None:
    to = Recipient()
    to.put(alert("ledger_lag", to.now), alert("bridge_dead", to.now, level=Level.CRITICAL))
    to.wait(2 * SECOND)
    (message,) = to.told
    assert message.level is Level.CRITICAL
    assert message.body.index("bridge dead") < message.body.index("ledger lag"), "what came before goes along"


def test_a_warning_waits_ten_seconds_for_more() -> None:
    to = Recipient()
    to.put(alert("ledger_lag", to.now))
    to.wait(9 * SECOND)
    assert not to.told
    to.wait(2 * SECOND)
    assert [message.title for message in to.told] == ["[test]: ledger lag"]


def test_what_stands_is_told_when_it_begins_and_when_it_ends_and_not_in_between() -> None:
    to = Recipient()
    for _ in range(10):
        to.put(alert("ledger_lag", to.now))
        to.wait(MINUTE)
    to.put(alert("ledger_lag", to.now, over=True, text="over"))
    to.wait(2 * MINUTE)
    assert [message.title for message in to.told] == ["[test]: ledger lag", "[test]: ledger lag: over"]


def test_what_is_critical_is_told_again_every_four_hours_while_it_stands() -> None:
    to = Recipient()
    to.put(alert("bridge_dead", to.now, level=Level.CRITICAL, text="no bridge is alive"), alert("ledger_lag", to.now))
    to.wait(9 * HOUR, step=MINUTE)
    assert len(to.told) == 3
    assert "still: no bridge is alive" in to.told[1].body
    assert "still: still" not in to.bodies
    assert "ledger lag" not in to.told[1].body


def test_what_flaps_is_told_three_times_and_then_every_ten_minutes() -> None:
    to = Recipient()
    for _ in range(60):  # an hour of beginnings and ends, half a minute each
        to.put(alert("ledger_lag", to.now))
        to.wait(30 * SECOND)
        to.put(alert("ledger_lag", to.now, over=True))
        to.wait(30 * SECOND)
    assert 6 <= len(to.told) <= 20


def test_a_beginning_and_an_end_that_were_not_told_are_one_line() -> None:
    to = Recipient()
    to.put(
        alert("ledger_lag", to.now, text="90 entries wait"), alert("ledger_lag", to.now + 5000, over=True, text="over")
    )
    to.wait(MINUTE)
    (message,) = to.told
    assert "over now: 90 entries wait" in message.body


def test_an_hour_away_loses_nothing_and_what_waited_is_one_message_critical_first() -> None:
    to = Recipient()
    to.away = True
    for minute in range(60):
        to.put(happened(f"signal {minute}", to.now), alert(f"a{minute}", to.now))
        if minute == 30:
            to.put(alert("circuit_breaker", to.now, level=Level.CRITICAL, text="five failures"))
        to.wait(MINUTE)
    assert (to.told, to.box.failures > 3) == ([], True)
    to.away = False
    to.wait(31 * MINUTE)
    first = to.told[0]
    assert first.body.splitlines()[0].endswith("CRITICAL circuit breaker: five failures")
    assert sum(item.count for message in to.told for item in message.items.values()) == 121
    assert len(to.told) == 1


def test_after_a_day_only_what_is_critical_still_matters_and_the_rest_is_counted() -> None:
    to = Recipient()
    to.away = True
    to.put(alert("bridge_dead", to.now, level=Level.CRITICAL), *(happened(f"task {one}", to.now) for one in range(7)))
    to.wait(49 * HOUR, step=MINUTE)
    to.away = False
    to.wait(HOUR, step=MINUTE)
    assert "bridge dead" in to.told[0].body
    assert "7 older notices could not be told for a day and were dropped" in to.told[0].body
    assert "task 3" not in to.bodies
    assert to.box.dropped == 0


def test_critical_ones_that_do_not_fit_are_named() -> None:
    to = Recipient()
    to.put(*(alert(f"a{number}", to.now, level=Level.CRITICAL, text="x" * 500) for number in range(20)))
    to.wait(10 * MINUTE)
    (message,) = to.told
    assert message.title == "[test]: 20 critical"
    assert len(message.body) <= 3000
    assert re.search(r"also critical: (a\d+, )+a\d+\n\[", message.body)
    assert all(re.search(rf"\ba{number}\b", message.body) for number in range(20))


@pytest.mark.parametrize(("longest", "most"), [(900, 40), (3600, 8), (30_000, 1)])
def test_five_hundred_critical_ones_are_all_named_in_as_few_messages_as_the_address_takes(
    longest: int, most: int
) -> None:
    to = Recipient(longest)
    to.put(*(alert(f"order_stuck_{number}", to.now, level=Level.CRITICAL, text="for long") for number in range(500)))
    to.put(alert("ledger_lag", to.now))
    while to.box.items:
        to.wait(MINUTE, step=MINUTE)
    assert all(len(message.body) <= longest for message in to.told)
    assert all(re.search(rf"order stuck {number}\b", to.bodies) for number in range(500))
    assert len(to.told) <= most + 1


def test_an_sms_counts_what_it_cannot_name() -> None:
    to = Recipient(160)
    to.put(*(alert(f"order_stuck_{number}", to.now, level=Level.CRITICAL, text="for long") for number in range(500)))
    to.wait(30 * MINUTE)
    (message,) = to.told
    assert message.title == "[test]: 500 critical"
    assert len(message.body) <= 160
    assert " more: executor status" in message.body


def test_what_was_under_way_when_the_process_ended_is_sent_once_more_and_says_so() -> None:
    box = take(Mailbox(), "1-0", alert("bridge_dead", NOW, level=Level.CRITICAL), NOW)
    killed = begin(box, NOW + 1000, SENDER, 3000)
    assert killed.sending is not None
    first = killed.sending
    started = again(again(killed))
    assert started.sending is not None
    assert (started.sending.name, started.sending.items) == (first.name, first.items)
    assert started.sending.body.startswith("(perhaps told already: ")
    assert started.sending.body.count("perhaps") == 1
    assert first.body.splitlines()[-1] == f"[{first.name}]", "the name by which a repeat is known"


def test_an_end_of_which_nobody_heard_the_beginning_is_silent() -> None:
    assert take(Mailbox(), "1-0", alert("bridge_dead", NOW, over=True), NOW) == Mailbox()


def test_an_end_that_comes_while_the_beginning_is_sent_is_told() -> None:
    to = Recipient()
    to.put(alert("bridge_dead", to.now, level=Level.CRITICAL))
    to.box = begin(to.box, to.now + 1000, SENDER, 3000)
    to.put(alert("bridge_dead", to.now, over=True))
    to.box = delivered(to.box, to.now)
    to.wait(2 * MINUTE)
    assert [message.title for message in to.told] == ["[test]: bridge dead: over"]


def test_a_clock_that_goes_back_holds_nothing_up() -> None:
    to = Recipient()
    to.put(happened("before", to.now))
    to.wait(MINUTE)
    to.now -= 5 * HOUR
    to.put(happened("after", to.now))
    to.wait(2 * MINUTE)
    assert "after" in to.bodies


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("level", list(Level))
def test_what_is_written_is_what_is_read(kind: Kind, level: Level) -> None:
    notice = Notice(kind=kind, level=level, text="why", at=NOW, key="alert:x", over=True)
    assert read_notice(notice_fields(notice, "paper"), 1) == notice
    assert read_notice(notice_fields(replace(notice, text="a\nb\x1b[31m\0"), "paper"), 1).text == "a b [31m"
    for missing in ("kind", "level", "text", "at"):
        fields = notice_fields(notice, "paper")
        del fields[missing]
        with pytest.raises(ValueError, match=r"no notice|is not a valid"):
            read_notice(fields, 1)
