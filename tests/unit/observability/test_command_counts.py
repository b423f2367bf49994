"""What commands count is on a worker's page, once: counted by real processes, read as an exporter reads."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from executor.observability.command_counts import collect_finished, commands_folder
from executor.observability.count_file import sound_files

_COUNT = """
import sys
from pathlib import Path
from executor.observability import command_counts
command_counts.prepare(Path(sys.argv[1]))
from executor.observability import counters
counters.CANCELLED.labels("MANUAL").inc(10)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "metrics" / "worker-5003"
    own.mkdir(parents=True)
    return own


def start(data_dir: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", _COUNT, str(data_dir)]
    command = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert any(line == "counted\n" for line in command.stdout)  # after what is logged
    return command


@pytest.fixture
def running(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = start(tmp_path)
    yield command
    command.kill()
    command.communicate()


def cancelled(folder: Path) -> float:
    found: Any = MultiProcessCollector.merge([str(path) for path in sound_files(folder)])  # type: ignore[no-untyped-call]
    samples = [
        sample for metric in found for sample in metric.samples if sample.name.endswith("orders_cancelled_total")
    ]
    return float(sum(sample.value for sample in samples if sample.labels == {"reason": "MANUAL"}))


@pytest.mark.slow
def test_what_a_command_counted_is_on_one_page_once(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "metrics" / "worker-5013"
    other.mkdir()
    for _ in range(2):
        start(tmp_path).communicate()
    for own in (folder, other, folder):
        collect_finished(tmp_path, own)
    assert (cancelled(folder), cancelled(other)) == (20, 0)
    assert list(commands_folder(tmp_path).iterdir()) == []


def test_what_is_no_command_keeps_no_counts_from_being_taken_over(tmp_path: Path, folder: Path) -> None:
    commands_folder(tmp_path).mkdir()
    (commands_folder(tmp_path) / ".DS_Store").write_text("a file")
    (commands_folder(tmp_path) / "0-folder" / "lock").mkdir(parents=True)
    start(tmp_path).communicate()
    collect_finished(tmp_path, folder)
    assert cancelled(folder) == 10


def test_a_command_that_runs_keeps_its_counts_until_it_is_over(
    tmp_path: Path, folder: Path, running: "subprocess.Popen[str]"
) -> None:
    collect_finished(tmp_path, folder)
    assert cancelled(folder) == 0
    running.kill()  # however it ends
    running.wait()
    collect_finished(tmp_path, folder)
    assert cancelled(folder) == 10


def test_without_a_folder_that_can_be_written_a_command_goes_on(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("no folder")
    start(tmp_path).communicate()
    collect_finished(tmp_path, tmp_path)
