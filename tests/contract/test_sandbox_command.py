"""`betfair-sandbox` as people type it: alone, without the executor, and where it stands in for Betfair."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.namespace import in_own_network

from betfair_sandbox.as_betfair import NAMES

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "betfair_sandbox")


def ask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--balance", "much"), "--balance"),
        (("--currency", "ABC"), "--currency"),
        (("--account", "a b"), "--account"),
        (("--account", "sandbox"), "--account"),
        (("--as-betfair", "8.8.8.8,127.0.0.3"), "8.8.8.8"),
        (("--as-betfair", "127.0.0.2", "--seed", "2"), "--as-betfair"),
        (("--password-file", "nowhere"), "--password-file"),
        (("--client-certificate", "nowhere"), "--client-certificate"),
        (("--port", "70000"), "--port"),
    ],
)
def test_a_mistake_is_named_and_there_is_no_traceback(tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    ran = ask(tmp_path, *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr


def test_its_folder_is_that_of_the_executors_default(tmp_path: Path) -> None:
    ran = ask(tmp_path, "env")
    assert ran.returncode == 1
    assert str(tmp_path / "data" / "sandbox") in ran.stderr


def test_it_imports_nothing_of_the_executor() -> None:
    code = "import betfair_sandbox.cli, betfair_sandbox.server, sys; print([n for n in sys.modules if 'executor' in n])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    known = [name for name in json.loads(ran.stdout.replace("'", '"')) if name.startswith("executor")]
    assert known == []


def test_it_does_not_stand_in_for_betfair_on_a_host(tmp_path: Path) -> None:
    if "00000000" not in {line.split()[1] for line in Path("/proc/net/route").read_text().splitlines()[1:]}:
        pytest.skip("this network has no way out")
    ran = ask(tmp_path, "--as-betfair", "--dir", str(tmp_path / "sandbox"))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "way out" in ran.stderr
    assert not (tmp_path / "sandbox").exists()


CLIENT = """
import json, signal, socket, ssl, subprocess, sys
folder = sys.argv[1]
command = [sys.executable, "-m", "betfair_sandbox", "--as-betfair", "--dir", folder, "--username", "me"]
sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
sandbox.stdout.readline()
context = ssl.create_default_context(cafile=folder + "/ca.pem")

def connect(address, name):
    return context.wrap_socket(socket.create_connection((address, 443), 10), server_hostname=name)

def named(address, name):
    with connect(address, name) as connection:
        return [value for kind, value in connection.getpeercert()["subjectAltName"]]

seen = {"api": named("127.0.0.2", "api.betfair.com"), "stream": named("127.0.0.3", "stream-api.betfair.com")}
seen["own"] = named("127.0.0.2", "localhost")
with connect("127.0.0.3", "stream-api.betfair.com") as connection:
    seen["greeting"] = json.loads(connection.recv(4096))["op"]
form = b"username=me&password=sandbox-password"
head = b"POST /api/certlogin HTTP/1.1\\r\\nHost: identitysso-cert.betfair.com\\r\\nX-Application: x\\r\\n"
head += b"Connection: close\\r\\n"
head += b"Content-Type: application/x-www-form-urlencoded\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(form)

def log_in():
    with connect("127.0.0.2", "identitysso-cert.betfair.com") as connection:
        connection.sendall(head + form)
        reply = b""
        while data := connection.recv(4096):
            reply += data
    return json.loads(reply.partition(b"\\r\\n\\r\\n")[2])["loginStatus"]

seen["without a certificate"] = log_in()
context.load_cert_chain(folder + "/client.pem")
seen["with it"] = log_in()
sandbox.send_signal(signal.SIGINT)
seen["code"] = sandbox.wait(10)
print(json.dumps(seen))
"""


def test_it_answers_to_betfairs_names_on_two_addresses(tmp_path: Path) -> None:
    ran = in_own_network(sys.executable, "-c", CLIENT, str(tmp_path / "sandbox"))
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert set(seen["api"]) == set(seen["stream"]) == set(NAMES)
    assert "localhost" in seen["own"]
    assert not set(seen["own"]) & set(NAMES)
    assert seen["greeting"] == "connection"
    assert (seen["without a certificate"], seen["with it"]) == ("CERT_AUTH_REQUIRED", "SUCCESS")
    assert seen["code"] == 0


WAY_OUT = """
import subprocess, sys
command = [sys.executable, "-m", "betfair_sandbox", "--as-betfair", "--dir", sys.argv[1]]
sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
sandbox.stdout.readline()
subprocess.run("ip route add default dev lo".split(), check=True)
print(sandbox.communicate(timeout=30)[1])
"""


@pytest.mark.slow
def test_it_stops_when_its_network_gets_a_way_out(tmp_path: Path) -> None:
    ran = in_own_network(sys.executable, "-c", WAY_OUT, str(tmp_path / "sandbox"))
    assert ran.returncode == 0, ran.stderr
    assert "stopped: --as-betfair: this network has a way out (lo)" in ran.stdout


def test_it_stops_at_ctrl_c(tmp_path: Path) -> None:
    words = ("--port", "0", "--cert-port", "0", "--dir", str(tmp_path / "sandbox"))
    with subprocess.Popen(
        [*COMMAND, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "stream on 127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_its_own_distribution_names_every_package() -> None:
    package = ROOT / "betfair_sandbox"
    own = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in package.rglob("__init__.py")}
    assert set(own["tool"]["setuptools"]["packages"]) == found
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert own["project"]["scripts"]["betfair-sandbox"] == whole["project"]["scripts"]["betfair-sandbox"]
    assert set(own["project"]["dependencies"]) <= set(whole["project"]["dependencies"])
    data = whole["tool"]["setuptools"]["package-data"]
    assert own["tool"]["setuptools"]["package-data"]["betfair_sandbox"] == data["betfair_sandbox"]


@pytest.mark.slow
def test_its_own_distribution_runs_alone(tmp_path: Path) -> None:
    python = ROOT / ".venv" / "clients" / "bin" / "python"
    if not python.exists():
        pytest.skip("`make clients` makes an environment without the executor")
    source, target = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT / "betfair_sandbox", source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    code = "import betfair_sandbox.server, betfair_sandbox.cli as cli; print(cli.__file__)"
    ran = subprocess.run(
        [str(python), "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith(str(target))
    assert list((target / "betfair_sandbox" / "control" / "static").iterdir())
