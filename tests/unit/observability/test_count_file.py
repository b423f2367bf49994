"""Counting survives its files: whatever they hold, whenever the process is killed, and when the disk is full."""

import os
import random
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from prometheus_client import mmap_dict, values
from prometheus_client.mmap_dict import mmap_key

from executor.observability.count_file import CountFile, DamagedCounts, encode_counts, read_counts, sound_files
from executor.observability.folding import fold

LIBRARY: Final[Any] = mmap_dict  # the library gives no types
ONE: Final = mmap_key("signals", "signals_total", ["kind"], ["é"], "Signals")
TWO: Final = mmap_key("orders", "orders_total", [], [], "Orders")
SOUND: Final = encode_counts({ONE: (3.0, 0.0), TWO: (4.0, 0.0)})[0]
DEAD: Final = "999999999"  # above the highest process id of Linux
DAMAGED: Final = {
    "empty": b"",
    "head cut": SOUND[:5],
    "half": SOUND[: len(SOUND) // 2],
    "garbage": b"garbage" * 1000,
    "zeros": bytes(65_536),
    "no number": SOUND.replace(struct.pack("d", 3.0), struct.pack("d", float("nan"))),
    "negative": SOUND.replace(struct.pack("d", 3.0), struct.pack("d", -3.0)),
    "no key": encode_counts({"[]": (1.0, 0.0)})[0],
    "odd label": encode_counts({mmap_key("a", "a_bucket", ["le"], ["x"], ""): (1.0, 0.0)})[0],
    "odd name": encode_counts({mmap_key("a b", "a b", [], [], ""): (1.0, 0.0)})[0],
    "deep key": encode_counts({'["a","a",{},' + "[" * 5000: (1.0, 0.0)})[0],
    "huge label": encode_counts({'["a","a_bucket",{"le":1' + "0" * 400 + '},"x"]': (1.0, 0.0)})[0],
    "negative key length": struct.pack("i4xi", 32, -8) + bytes(20),
}


def test_the_library_reads_what_is_written_and_has_the_names_that_we_take_the_place_of(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    file = CountFile(str(path))
    assert file.read_value(ONE) == (0.0, 0.0)
    file.write_value(ONE, 2.0, 0.0)
    file.write_value(TWO, 1.0, 5.0)
    theirs = LIBRARY.MmapedDict(str(path), read_mode=True)
    assert list(theirs.read_all_values()) == [(ONE, 2.0, 0.0), (TWO, 1.0, 5.0)]
    theirs.close()
    assert read_counts(path) == {ONE: 2.0, TWO: 1.0}
    assert CountFile(str(path)).read_value(ONE) == (2.0, 0.0)  # a later process with the same id goes on
    assert hasattr(values, "MmapedDict")


def test_files_of_the_library_itself_are_read(tmp_path: Path) -> None:
    theirs = LIBRARY.MmapedDict(str(tmp_path / "counter_1.db"))
    theirs.write_value(ONE, 7.0, 0.0)
    theirs.close()
    assert read_counts(tmp_path / "counter_1.db") == {ONE: 7.0}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_moved_aside_and_costs_its_own_counts(tmp_path: Path, damage: str) -> None:
    (tmp_path / f"counter_{DEAD}.db").write_bytes(DAMAGED[damage])
    (tmp_path / f"counter_{DEAD}1.db").write_bytes(SOUND)
    assert [path.name for path in sound_files(tmp_path)] == [f"counter_{DEAD}1.db"]
    assert (tmp_path / f"counter_{DEAD}.db.damaged").read_bytes() == DAMAGED[damage]
    (tmp_path / f"counter_{DEAD}.db").write_bytes(DAMAGED[damage])
    (tmp_path / f"counter_{DEAD}2.db").write_bytes(SOUND)
    fold(tmp_path)
    assert read_counts(tmp_path / "counter_0.db") == {ONE: 6.0, TWO: 8.0}
    assert (tmp_path / f"counter_{DEAD}.db.damaged-2").exists()
    own = tmp_path / "histogram_7.db"
    own.write_bytes(DAMAGED[damage])
    assert CountFile(str(own)).read_value(ONE) == (0.0, 0.0)


def test_no_bytes_whatever_get_past_the_reader_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    chance = random.Random(13)  # noqa: S311 - the same bytes each time
    for _ in range(500):
        data = bytearray(SOUND)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(bytes(data[: chance.randrange(len(data) + 1)]))
        try:
            found = read_counts(path)
        except DamagedCounts:
            continue
        assert all(0 <= value < float("inf") for value in found.values())


def test_a_process_whose_file_is_lost_or_overwritten_writes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    path = tmp_path / "counter_1.db"
    file = CountFile(str(path))
    losses: tuple[Callable[[], object], ...] = (
        path.unlink,
        lambda: path.write_bytes(b"garbage"),
        lambda: path.rename(tmp_path / "elsewhere"),
        lambda: path.write_bytes(b""),
    )
    for count, lose in enumerate(losses, start=1):
        file.write_value(ONE, count, 0.0)
        lose()
        now[0] += 6
        file.write_value(TWO, count, 0.0)
        assert read_counts(path) == {ONE: count, TWO: count}


def _in_child(work: Callable[[], None]) -> int:
    """Run in a process of its own, which ends without tidying up."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must not go on as pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_full_disk_stops_no_count_and_what_was_counted_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"

    def count() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        file = CountFile(str(path))
        file.write_value(ONE, 1.0, 0.0)
        with structlog.testing.capture_logs() as lines:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
            file.write_value(TWO, 1.0, 0.0)
            file.write_value(ONE, 2.0, 0.0)
            file.write_value(ONE, 2.5, 0.0)
            assert CountFile(str(tmp_path / "counter_2.db")).read_value(ONE) == (0.0, 0.0)
            fold(tmp_path)
        assert len([line for line in lines if line.get("file") == str(path)]) == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        file.write_value(ONE, 3.0, 0.0)

    assert _in_child(count) == 0
    assert read_counts(path) == {ONE: 3.0, TWO: 1.0}


_STEPS: Final = frozenset({"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.scandir"})


def _killed_at(step: int, folder: Path) -> Callable[[], None]:
    def work() -> None:
        left = [step]

        def count(event: str, _: tuple[Any, ...]) -> None:
            left[0] -= event in _STEPS
            if not left[0]:
                os._exit(9)

        sys.addaudithook(count)
        fold(folder)

    return work


def _all(folder: Path) -> Iterator[float]:
    for path in folder.glob("counter_*.db"):
        yield from read_counts(path).values()


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_a_fold_that_is_killed_anywhere_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, *, folded: bool, more: bool
) -> None:
    step = 0
    finished = False
    while not finished:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        names = ("0", f"{DEAD}1", f"{DEAD}2") if folded else (f"{DEAD}1", f"{DEAD}2", f"{DEAD}3")
        for name in names:
            (folder / f"counter_{name}.db").write_bytes(SOUND)
        finished = _in_child(_killed_at(step, folder)) == 0
        expected = 21.0
        if more and not (again := folder / f"counter_{DEAD}1.db").exists():  # another process had the same id
            again.write_bytes(SOUND)
            expected += 7.0
        fold(folder)
        assert sum(_all(folder)) == expected, step
        assert not (folder / "counter.folding").exists()
    assert step > 5
