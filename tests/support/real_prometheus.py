"""A real Prometheus on loopback, with the configuration and the rules that ship, for tests of what it makes of a run.

Owns one process. Invariant: of the shipped configuration only addresses and intervals are changed. Units: seconds.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import requests

from executor.devstack.redis_server import HOST, free_port
from executor.devstack.supervisor import parent_death_signal

ROOT: Final = Path(__file__).parents[2]
SHIPPED: Final = ROOT / "deploy" / "prometheus"
PROGRAM: Final = shutil.which("prometheus")
_START_S: Final = 20.0


def configuration(targets: Mapping[str, str]) -> str:
    """Return the shipped configuration with these addresses in place of the compose file's, and quicker."""
    text = (SHIPPED / "prometheus.yml").read_text(encoding="utf-8")
    text = re.sub(r"(_interval): 5s.*", r"\1: 1s", text)
    text = text.replace("rules/*.yml", str(SHIPPED / "rules" / "*.yml"))
    text = re.sub(r"\nalerting:.*?(?=\n\S)", "", text, flags=re.DOTALL)
    # Names are found by DNS in containers only.
    worker = "      - targets: [worker:5003]\n        labels: {process: worker}\n\n"
    text = re.sub(r"    dns_sd_configs:.*?\n\n", worker, text, flags=re.DOTALL)
    for name, address in targets.items():
        assert text.count(name) == 1, name
        text = text.replace(name, address)
    return text


class RealPrometheus:
    """Scrapes what it is text every second, evaluates the shipped rules."""

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        folder.mkdir()
        self._folder = folder
        self._port = free_port()
        text = configuration({**targets, "localhost:9090": f"{HOST}:{self._port}"})
        (folder / "prometheus.yml").write_text(text, encoding="utf-8")
        self._session = requests.Session()
        self._session.trust_env = False
        self.url = f"http://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={HOST}:{self._port}",
                ],
                stdout=log,
                stderr=log,
                preexec_fn=parent_death_signal(),  # noqa: PLW1509 - it calls nothing but the kernel
            )
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "Prometheus did not start"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._process.terminate()
        self._process.wait(20)

    def _is_ready(self) -> bool:
        try:
            return self._session.get(f"{self.url}/-/ready", timeout=2).ok
        except requests.ConnectionError:
            return False

    def _ask(self, path: str, **query: Any) -> Any:
        answer = self._session.get(f"{self.url}/api/v1/{path}", params=query, timeout=10).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now, with `value`."""
        rows: list[dict[str, Any]] = self._ask("query", query=query)["result"]
        return rows

    def since(self, start: float, query: str) -> list[dict[str, Any]]:
        """Return the series that an expression gave from `start` (epoch) until now, second by second, in `values`."""
        rows: list[dict[str, Any]] = self._ask("query_range", query=query, start=start, end=time.time(), step=1)[
            "result"
        ]
        return rows

    def down(self) -> Sequence[str]:
        """Name the targets that do not answer, and why."""
        targets = self._ask("targets", state="active")["activeTargets"]
        return [f"{target['scrapeUrl']}: {target['lastError']}" for target in targets if target["health"] != "up"]

    def firing(self) -> dict[str, str]:
        """Return the alerts that fire, with their summaries."""
        alerts = self._ask("alerts")["alerts"]
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in alerts
            if alert["state"] == "firing"
        }
