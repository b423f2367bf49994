"""What was decoded is remembered while it is read, and not for ever."""

from executor.adapters.redis.remembered import Remembered


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_not_read_is_forgotten_and_what_is_read_stays() -> None:
    clock = _Clock()
    remembered = Remembered[int](1000, clock)
    remembered.put("read", 1)
    for minute in range(60):  # a thousand texts a quarter of an hour, of which one is read again
        clock.now = minute * 60.0
        for at in range(60):
            remembered.put(f"{minute}-{at}", at)
            assert remembered.get("read") == 1
    assert len(remembered) <= 11 * 60 + 1, "what is in use, not what ever was"
    assert remembered.get("40-1") is None


def test_more_than_it_holds_read_in_a_circle_is_half_remembered() -> None:
    remembered = Remembered[int](1000, _Clock())
    known = 0
    for _ in range(20):
        for at in range(1200):
            found = remembered.get(str(at))
            known += found is not None
            if found is None:
                remembered.put(str(at), at)
            assert len(remembered) <= 1000
    assert known > 20 * 1200 / 3
