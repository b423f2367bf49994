"""What compose mounts and names: appsettings, signing keys, an Alertmanager only where one is."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_the_default_prometheus_names_no_alertmanager_and_the_other_one_differs_in_that_alone() -> None:
    folder = ROOT / "deploy" / "prometheus"
    plain, beside = ((folder / name).read_text() for name in ("prometheus.yml", "with-alertmanager.yml"))
    assert "alertmanager" not in plain
    named = re.search(r"^alerting:\n(?: .*\n)+\n", beside, re.MULTILINE)
    assert named is not None
    assert "alertmanager:9093" in named[0]

    def without_head(text: str) -> str:
        return text[text.index("global:") :]

    assert without_head(beside.replace(named[0], "")) == without_head(plain)
    assert "--config.file=/etc/prometheus/${PROMETHEUS_CONFIG:-prometheus.yml}" in COMPOSE


def test_whoever_has_the_data_folder_reads_appsettings_too() -> None:
    """Processes with other settings would be other accounts, or other limits."""
    data = re.findall(r"- data:/data\n(.*)", COMPOSE)
    assert len(data) >= 6
    assert all(":/app/appsettings.json:ro" in line for line in data)
    assert json.loads((ROOT / "deploy" / "no-settings.json").read_text()) == {}


def test_those_who_check_signatures_have_the_keys() -> None:
    assert COMPOSE.count(":/app/signal-keys.json:ro") == 3, "workers (for check), bridges, console"


def test_those_who_fail_over_are_known_by_address_and_not_by_name() -> None:
    """The name of a container that has died resolves no more, and whoever looks it up waits."""
    beside = (ROOT / "deploy" / "ha.yml").read_text(encoding="utf-8")
    addresses = dict(re.findall(r"^  ([a-z0-9-]+):\n(?:    .*\n)*?.*ipv4_address: ([0-9.]+)", beside, re.MULTILINE))
    assert set(addresses) == {"redis", *(f"redis-replica-{n}" for n in (1, 2)), *(f"sentinel-{n}" for n in (1, 2, 3))}
    assert len(set(addresses.values())) == len(addresses)
    for name in ("redis", "redis-replica-1", "redis-replica-2"):
        assert f"--replica-announce-ip, {addresses[name]}]" in beside
    sentinel = (ROOT / "deploy" / "redis" / "sentinel.conf.template").read_text(encoding="utf-8")
    assert f"sentinel monitor executor {addresses['redis']} 6379 2" in sentinel
    assert "hostnames yes" not in sentinel
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert ",".join(f"{addresses[f'sentinel-{n}']}:26379" for n in (1, 2, 3)) in guide
