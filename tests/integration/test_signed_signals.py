"""Signed signals through real bridges: keys that come and go, what `check` says of them, a start that is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.process_rig import Stack, message, running, wait
from support.signing import Keys

from executor import keys
from executor.domain.signal_record import SignalStatus
from executor.operations.checks import _signal_keys
from executor.settings.load import load_settings


@pytest.fixture
def publishers(tmp_path: Path) -> Keys:
    found = Keys(tmp_path)
    found.add("ed")
    return found


@pytest.fixture
def stack(tmp_path: Path, publishers: Keys) -> Iterator[Stack]:
    settings = {
        "EXECUTOR_SIGNALS__KEYS_FILE": str(publishers.path),
        "EXECUTOR_SIGNALS__REQUIRE_SIGNATURE": "true",
    }
    with running(tmp_path, **settings) as stack:
        yield stack


def signal(signal_id: str) -> bytes:
    return json.dumps({**message(signal_id), "timestamp": datetime.now(UTC).isoformat()}).encode()


def test_every_door_wants_a_signature_by_a_key_that_is_known(stack: Stack, publishers: Keys) -> None:
    stack.worker()
    bridge = stack.bridge()
    assert stack.publish(publishers.sign("ed", signal("published"))) == 1
    stack.state.xadd(keys.SIGNALS, {"kind": "strategy", "payload": publishers.sign("ed", signal("added"))})
    for name in ("published", "added"):
        record = stack.ended(name)
        assert (record.status, record.publisher) == (SignalStatus.COMPLETED, "ed")
    malformed = 'signals_rejected_total{reason="MALFORMED_SIGNAL"}'
    stack.publish(signal("unsigned"))
    stack.state.xadd(keys.SIGNALS, {"kind": "strategy", "payload": signal("unsigned, too")})
    wait(lambda: bridge.metrics().get(malformed) == 2)
    publishers.add("new")
    wait(lambda: bridge.said("signal_keys_loaded") or not stack.publish(publishers.sign("new", signal("later"))))
    stack.publish(publishers.sign("new", signal("by-the-new-key")))
    assert stack.ended("by-the-new-key").publisher == "new"
    assert stack.ended("unsigned").reason == "MALFORMED_SIGNAL"
    assert not stack.orders("unsigned")


@pytest.mark.slow
def test_a_bridge_does_not_start_with_keys_that_it_cannot_read(stack: Stack, publishers: Keys) -> None:
    publishers.path.write_text('{"keys": [{"kid": "odd", "kty": "RSA"}]}')
    done = subprocess.run(
        [sys.executable, "-c", "from executor.cli.main import run; run()", "bridge"],
        env=stack.environ, cwd=stack.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "key 1 (odd)" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_looks_at_the_keys(stack: Stack, publishers: Keys) -> None:
    def found() -> tuple[str, str]:
        (finding,) = _signal_keys(load_settings(stack.environ, stack.folder))
        return finding.result.upper(), finding.detail

    assert found() == ("OK", f"1 in {publishers.path}")
    publishers.add("shared", "HS256")
    publishers.path.chmod(0o644)
    assert found() == ("WARN", f"2 in {publishers.path}, readable by others")
    publishers.path.chmod(0o600)
    publishers.add("old", exp=1)
    assert found() == ("WARN", f"3 in {publishers.path}, expired: old")
    publishers.path.write_text("{")
    assert found()[0] == "FAIL"
