"""The demo, for real: it ends well, its numbers add up, nothing of the user's is read and nothing is left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from betfair_sandbox.options import sandbox_env
from executor.cli.demo import _end
from executor.devstack.demo_counts import Row
from executor.devstack.demo_run import DemoError, require_loopback
from executor.devstack.demo_signals import Publish, script
from executor.settings.load import load_settings

PROGRAM = Path(sys.executable).with_name("executor")
LAST = re.compile(
    r"demo: ok signals=(\d+) accepted=(\d+) rejected=(\d+) placed=(\d+) matched=(\d+) cancelled=(\d+) trades=(\d+)"
)
# A shell that is set up for live trading, with a typing error in it: none of it may count.
FOREIGN = {
    "EXECUTOR_BETFAIR__API_URL": "https://api.betfair.com",
    "EXECUTOR_TRADING__ENABLE_PAPER_TRADING": "false",
    "EXECUTOR_REDIS__URL": "redis://127.0.0.1:1/0",
    "EXECUTOR_RISK__BANKROL": "1",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "FLOWER_PORT": "1",
}


def start(folder: Path) -> "subprocess.Popen[str]":
    (folder / ".env").write_text("EXECUTOR_RISK__ENABLED=maybe\n", encoding="utf-8")
    (folder / "appsettings.json").write_text("{", encoding="utf-8")
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [PROGRAM, "demo"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "tmp"), **FOREIGN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(folder: Path) -> list[str]:
    """Return the living processes whose environment names `folder`, and what is left of the demo's own folder."""
    found = [str(path) for path in (folder / "tmp").iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.timeout(120)
def test_the_demo_ends_well_and_its_numbers_add_up(tmp_path: Path) -> None:
    process = start(tmp_path)
    shown, _ = process.communicate(timeout=110)
    assert process.returncode == 0, shown
    found = LAST.fullmatch(shown.splitlines()[-1])
    assert found, shown
    signals, accepted, rejected, placed, matched, cancelled, trades = map(int, found.groups())
    published = [act for act in script() if isinstance(act, Publish)]
    assert signals == len(published) == accepted + rejected
    assert accepted == sum(act.expected == "ACCEPTED" for act in published)
    assert placed == matched + cancelled
    assert matched > 0
    assert cancelled > 0
    assert trades >= matched
    assert not left_behind(tmp_path)


@pytest.mark.slow
def test_interrupted_it_stops_everything_and_says_so(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("signal "):
            break
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    assert not left_behind(tmp_path)


@pytest.mark.parametrize(
    "variable", ["EXECUTOR_BETFAIR__API_URL", "EXECUTOR_BETFAIR__IDENTITY_URL", "EXECUTOR_BETFAIR__IDENTITY_CERT_URL"]
)
def test_an_exchange_that_is_not_on_this_machine_is_refused(tmp_path: Path, variable: str) -> None:
    environ = sandbox_env(tmp_path)
    require_loopback(load_settings(environ, tmp_path))
    elsewhere = load_settings({**environ, variable: "https://api.betfair.com"}, tmp_path)
    with pytest.raises(DemoError, match=r"^refused: api\.betfair\.com is not this machine$"):
        require_loopback(elsewhere)


@pytest.mark.parametrize(
    ("rows", "problem", "code", "line"),
    [
        (
            [Row("placed", {"a": 3, "b": 3}), Row("net profit", {"a": Decimal("1.0"), "b": Decimal(1)})],
            "",
            0,
            "demo: ok ",
        ),
        ([Row("placed", {"a": 3, "b": 4})], "placed a 3, b 4", 1, "demo: FAILED placed a 3, b 4; "),
        ([], "no Redis", 1, "demo: FAILED no Redis; signals=? "),
    ],
)
def test_the_last_line_says_how_it_ended(
    rows: Sequence[Row], problem: str, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row.agrees for row in rows] == [len(set(row.values.values())) == 1 for row in rows]
    assert _end(rows, problem) == code
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(line)
