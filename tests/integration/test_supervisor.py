"""The supervisor: what ends is started again, what is hopeless says why, what stops leaves nothing."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.devstack.supervisor import CrashLoopError, Program, Supervisor

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {SLEEP}"


def program(folder: Path, name: str, code: str, *, stage: int = 0, **more: object) -> Program:
    command = (sys.executable, "-c", code)
    return Program(name=name, command=command, environment=dict(os.environ), folder=folder, stage=stage, **more)  # type: ignore[arg-type]


def until(look: Callable[[], object], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, told: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "logs", told.append)
    yield supervisor
    supervisor.force = True
    supervisor.stop()


def test_a_killed_child_is_started_again_and_its_output_is_kept(
    supervisor: Supervisor, tmp_path: Path, told: list[str]
) -> None:
    supervisor.start(program(tmp_path, "child", f"print('alive', flush=True); {SLEEP}"))
    until(lambda: ("child", "alive") in list(supervisor.new_lines()))
    first = supervisor.pid("child")
    assert first
    os.kill(first, signal.SIGKILL)
    until(lambda: "child" in supervisor.tick())
    assert supervisor.pid("child") not in {first, None}
    until(lambda: ("child", "alive") in list(supervisor.new_lines()))
    assert supervisor.tail("child", 5) == ["alive", "alive"]
    assert "child was killed by signal 9; it starts again in 1 s" in told[0]


def test_a_child_that_always_fails_the_same_way_is_hopeless_and_says_why(tmp_path: Path, told: list[str]) -> None:
    supervisor = Supervisor(tmp_path / "logs", told.append, back_off_s=[0.05])
    code = "import sys, time; sys.exit(f'port 5003 is taken, at {time.time()}')"
    supervisor.start(program(tmp_path, "child", code))

    def give_up() -> None:
        until(lambda: supervisor.tick() and False)

    with pytest.raises(CrashLoopError, match=r"^child fails at every start: port 5003 is taken"):
        give_up()


def test_a_child_that_is_held_stays_down_for_so_long(tmp_path: Path, told: list[str]) -> None:
    supervisor = Supervisor(tmp_path / "logs", told.append, back_off_s=[0.01])
    supervisor.start(program(tmp_path, "child", SLEEP))
    try:
        first = supervisor.pid("child")
        assert first
        began = time.monotonic()
        supervisor.hold("child", 1.5)
        os.kill(first, signal.SIGKILL)
        until(lambda: "child" in supervisor.tick())
        assert time.monotonic() - began >= 1.5
    finally:
        supervisor.force = True
        supervisor.stop()


def test_different_failures_are_waited_out(tmp_path: Path, told: list[str]) -> None:
    supervisor = Supervisor(tmp_path / "logs", told.append, back_off_s=[0.01])
    count = tmp_path / "count"
    count.write_text("")
    code = f"""
        import pathlib, sys
        count = pathlib.Path({str(count)!r})
        count.write_text(count.read_text() + "x")
        sys.exit("bad luck " + count.read_text())
    """
    supervisor.start(program(tmp_path, "child", textwrap.dedent(code)))
    until(lambda: (supervisor.tick(), len(told) > 6)[1])


def test_stages_stop_in_order_and_a_stubborn_child_is_killed(
    supervisor: Supervisor, tmp_path: Path, told: list[str]
) -> None:
    supervisor.start(program(tmp_path, "last", SLEEP, stage=2))
    supervisor.start(program(tmp_path, "stubborn", STUBBORN, stage=1, grace_s=0.3, waits_for="its work"))
    supervisor.start(program(tmp_path, "first", SLEEP, stage=0))
    until(lambda: supervisor.tail("stubborn", 1) == ["up"])
    supervisor.stop()
    assert told == ["stopping first", "stopping stubborn: waiting for its work, up to 0 s", "stopping last"]
    assert [supervisor.pid(name) for name in supervisor.names] == [None, None, None]


def test_a_sharper_signal_comes_before_the_last_one(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "signal.signal(signal.SIGQUIT, lambda *_: sys.exit('quit properly')); print('up', flush=True);"
        "time.sleep(600)"
    )
    then = (signal.SIGQUIT, 10.0)
    supervisor.start(program(tmp_path, "child", code, grace_s=0.2, then=then))
    until(lambda: supervisor.tail("child", 1) == ["up"])
    supervisor.stop()
    assert supervisor.tail("child", 1) == ["quit properly"]


def test_hurry_ends_the_patience(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, "stubborn", STUBBORN, grace_s=600, then=(signal.SIGQUIT, 600)))
    until(lambda: supervisor.tail("stubborn", 1) == ["up"])
    supervisor.force = True
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 10
    assert supervisor.pid("stubborn") is None


def test_a_log_does_not_grow_for_ever(supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.devstack.supervisor._LOG_BYTES", 1000)
    code = "import time\nfor n in range(10**9): print('line', n, flush=True); time.sleep(0.001)"
    supervisor.start(program(tmp_path, "child", code))
    old = tmp_path / "logs" / "child.log.1"
    until(lambda: (supervisor.tick(), old.exists())[1])
    until(lambda: list(supervisor.new_lines()))  # and it is still heard
    assert old.stat().st_size >= 1000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import os, sys, time
        from pathlib import Path
        from executor.devstack.supervisor import Program, Supervisor
        supervisor = Supervisor(Path({str(tmp_path)!r}), print)
        supervisor.start(Program(name="child", command=(sys.executable, "-c", {STUBBORN!r}), environment=os.environ,
                                 folder=Path("/"), stage=0))
        while supervisor.tail("child", 1) != ["up"]: time.sleep(0.05)
        print(supervisor.pid("child"), flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: is_gone(child))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; who inherits it may never look at its corpse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
