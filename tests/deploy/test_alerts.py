"""The alerts and the dashboard that ship: each alert proven and explained, each metric one that we have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import redis
import typer

from beat_schedule import periodic_tasks
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.cli.main import app
from executor.ports import Alert
from executor.settings.load import load_settings

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = {path.name: path.read_text(encoding="utf-8") for path in (PROMETHEUS / "rules").glob("*.yml")}
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES["alerts.yml"], re.MULTILINE)
TESTS = (PROMETHEUS / "tests" / "alerts.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "executor.json").read_text(encoding="utf-8"))

# What the watchdog sees and Prometheus sees for itself, in more detail.
SEEN_BY_RULES = {
    Alert.CIRCUIT_BREAKER: "ExecutorBreakerOpen",
    Alert.BRIDGE_DEAD: "ExecutorNoBridge",
    Alert.EXPOSURE_HIGH: "ExecutorExposureHigh",
    Alert.DAILY_LOSS_NEAR_LIMIT: "ExecutorDailyLossNear",
    Alert.FAILURES_NEAR_BREAKER: "ExecutorBreakerNear",
    Alert.TRANSACTIONS_NEAR_CAP: "ExecutorTransactionsHigh",
}


def promtool(*words: str | Path) -> None:
    if not (program := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.apt
def test_promtool_finds_no_fault_in_the_rules() -> None:
    promtool("check", "rules", *(PROMETHEUS / "rules").glob("*.yml"))


@pytest.mark.apt
@pytest.mark.timeout(240)  # half a minute of reckoning on an idle machine
def test_every_alert_fires_and_clears() -> None:
    promtool("test", "rules", PROMETHEUS / "tests" / "alerts.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_for_silence_before_for_firing_and_for_silence_after(alert: str) -> None:
    seen = re.findall(rf'alertname="{alert}", alertstate="firing"}}\)\', .*exp_samples: (\[\]|\[{{)', TESTS)
    assert re.search(r"\[\] (\[\{ )+\[\]", " ".join(seen))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_is_and_the_runbook_what_to_do(alert: str) -> None:
    rule = re.split(r"^ +- alert: ", RULES["alerts.yml"].partition(f"- alert: {alert}\n")[2], flags=re.MULTILINE)[0]
    assert re.search(r"labels: \{severity: (critical|warning)\}", rule)
    assert "summary:" in rule
    assert "description:" in rule
    runbook, anchor = re.findall(r"runbook: (\S+)#(\S+)", rule)[0]
    assert anchor == alert.lower()
    entry = (ROOT / runbook).read_text(encoding="utf-8").partition(f"\n### {alert}\n")[2].partition("\n### ")[0]
    assert len(entry) > 100


def test_the_runbook_explains_no_alert_that_is_gone() -> None:
    headings = re.findall(
        r"^### (Executor\w+)$", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings == ALERTS


@pytest.mark.parametrize("document", ["runbook.md", "operations.md"])
def test_the_documents_name_commands_and_entries_that_exist(document: str) -> None:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:`|^ *|; |&& )executor ([a-z]+)\b", text, re.MULTILINE))
    assert len(commands) >= 10
    assert commands <= set(typer.main.get_group(app).commands)
    anchors = {
        (name or document, re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-"))
        for name in ("", "runbook.md", "operations.md")
        for line in re.findall(r"^#+ (.+)$", (ROOT / "docs" / (name or document)).read_text("utf-8"), re.MULTILINE)
    }
    links = re.findall(r"\]\(([a-z]*\.?m?d?)#([a-z0-9-]+)\)", text)
    assert {(name or document, anchor) for name, anchor in links} <= anchors


def test_every_periodic_task_is_watched() -> None:
    tasks = {task.removeprefix("executor.") for task, _ in periodic_tasks(load_settings({}, ROOT / "tests")).values()}
    stalled = RULES["alerts.yml"].partition("ExecutorTaskStalled\n")[2].partition("- alert")[0]
    watched = {name for names in re.findall(r'task=~?"([\w|]+)"', stalled) for name in names.split("|")}
    never = RULES["alerts.yml"].partition("ExecutorTaskNeverSucceeded\n")[2].partition("- alert")[0]
    assert watched == tasks == set(re.findall(r'task="(\w+)"', never))


def test_what_the_watchdog_sees_has_an_alert() -> None:
    named = set(re.findall(r'aibetting_executor_alert\{alert="(\w+)"\}', RULES["alerts.yml"]))
    assert named | set(SEEN_BY_RULES) == set(Alert)
    assert set(SEEN_BY_RULES.values()) <= set(ALERTS)


def metrics_of_a_process(client: "redis.Redis") -> Iterator[str]:
    """Yield the name of each sample that an instance may show."""
    from executor.observability import counters as metrics  # noqa: PLC0415 - counts into this process, which nobody scrapes

    state = replace(
        RedisSnapshot(client, client, breaker_window_s=600).read(),
        account={"balance": "1", "available": "1"},
        limits={"Bankroll": Decimal(1)},
        stream={"heard_at": "1"},
    )
    collector = metrics.StateCollector(lambda: state, paper=False, settled_limits={}, certificate_expiry=lambda: 1.0)
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    for family in (*metrics._registry.collect(), *collector.collect()):
        yield from (family.name + end for end in ends[family.type])


def test_rules_and_dashboard_use_metrics_that_exist(redis_client: "redis.Redis") -> None:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    text = "\n".join([*RULES.values(), *panels])
    used = set(re.findall(r"\baibetting_executor_\w+", text))
    assert len(used) > 30
    assert used <= set(metrics_of_a_process(redis_client))
    recorded = set(re.findall(r"- record: (\S+)", RULES["recording.yml"]))
    assert set(re.findall(r"\bexecutor:[a-z0-9_:]+", text)) == recorded


def test_the_dashboard_is_one_that_grafana_can_place() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert all(target["datasource"]["uid"] == "prometheus" for target in panel.get("targets", ()))
