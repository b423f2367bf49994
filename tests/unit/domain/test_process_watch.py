"""Which processes have died: told once, and when they are back."""

from support.factories import NOW

from executor.domain.notice import Level, Notice
from executor.domain.process_watch import Seen, watch_processes

SECOND = 1000


class Watch:
    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.now = NOW
        self.told: list[Notice] = []

    def look(self, *alive: str, seconds: int = 5) -> list[Notice]:
        new: list[Notice] = []
        for _ in range(max(1, seconds // 5)):
            self.seen, notices = watch_processes(self.seen, alive, self.now)
            new += notices
            self.now += 5 * SECOND
        self.told += new
        return new


ALL = ("worker:a:1", "worker:b:2", "beat:a:3", "bridge:a:4", "stream:a:5")


def test_one_that_died_is_named_once_and_so_is_its_return() -> None:
    watch = Watch()
    assert watch.look(*ALL, seconds=120) == []
    (died,) = watch.look(*(name for name in ALL if name != "worker:b:2"), seconds=300)
    assert (died.level, died.key) == (Level.WARNING, "process:worker")
    assert died.text == "1 of 2 worker processes live; died or stopped: b:2"
    (back,) = watch.look(*ALL, seconds=300)
    assert (back.over, back.text) == (True, "2 worker processes live")


def test_without_any_of_a_kind_that_trading_needs_it_is_critical() -> None:
    watch = Watch()
    watch.look(*ALL, seconds=120)
    (died,) = watch.look(*(name for name in ALL if not name.startswith("beat")), seconds=60)
    assert (died.level, died.text) == (Level.CRITICAL, "0 of 1 beat processes live; died or stopped: a:3")
    (stream,) = watch.look("worker:a:1", "worker:b:2", "bridge:a:4", seconds=60)
    assert (stream.level, stream.key) == (Level.WARNING, "process:stream"), "fills are learned of by the poll"


def test_nothing_running_at_all_is_told_by_a_notifier_that_never_saw_any() -> None:
    watch = Watch()
    told = {notice.key: notice.level for notice in watch.look(seconds=60)}
    assert told == dict.fromkeys(("process:worker", "process:beat", "process:bridge"), Level.CRITICAL)


def test_one_that_is_restarted_is_no_news_while_its_old_sign_of_life_lapses() -> None:
    watch = Watch()
    watch.look(*ALL, seconds=120)
    watch.look(*ALL, "bridge:a:99", seconds=30)
    watch.look(*(name for name in ALL if name != "bridge:a:4"), "bridge:a:99", seconds=120)
    watch.look(*(name for name in ALL if name != "bridge:a:4"), seconds=15)
    watch.look(*ALL, seconds=120)
    assert watch.told == []


def test_fewer_for_a_day_is_how_many_there_are() -> None:
    watch = Watch()
    watch.look(*ALL, seconds=120)
    fewer = [name for name in ALL if name != "worker:b:2"]
    assert len(watch.look(*fewer, seconds=26 * 3600)) == 1
    assert watch.look(*fewer, seconds=120) == []
    assert watch.seen["worker"].steady == 1
