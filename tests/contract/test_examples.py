"""The examples of docs/examples run as they stand against a sandbox that was started as their heads say."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.namespace import own_network
from support.sandbox_client import RunningSandbox

pytest_plugins = ["support.sandbox_fixtures"]
ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"


def run(python: str, name: str, sandbox: RunningSandbox, client: str, **more: str) -> str:
    command = [sys.executable, "-m", "betfair_sandbox", "env", "--for", client, "--dir", str(sandbox.directory)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in printed.splitlines())
    ran = subprocess.run(
        [python, str(ROOT / "docs" / "examples" / name)],
        env={"PATH": os.environ["PATH"], **variables, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_betfairlightweight(sandbox: RunningSandbox) -> None:
    lines = run(sys.executable, "betfairlightweight_stream.py", sandbox, "betfairlightweight").splitlines()
    (order,) = sandbox.get("orders")
    assert lines == [f"placed {order['betId']} SUCCESS", f"on the stream {order['betId']}"]


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS.exists(), reason="`make clients` installs flumine")
def test_flumine(sandbox: RunningSandbox) -> None:
    sandbox.market("1.999000002", [[2, 50]], [[2.1, 50]])
    out = run(str(CLIENTS), "flumine_bot.py", sandbox, "flumine", MARKET="1.999000002")
    (order,) = sandbox.get("orders")
    assert out.strip() == f"on the stream {order['betId']}"


# -- the recipes of docs/sandbox-clients.md, as they stand there -------------------------------------------------------

GUIDE = (ROOT / "docs" / "sandbox-clients.md").read_text(encoding="utf-8")
BOT = """
import betfairlightweight
client = betfairlightweight.APIClient(
    "sandbox", "sandbox-password", app_key="SandboxLiveKey", cert_files="{certificate}"
)
client.login()
print("funds", client.account.get_account_funds().available_to_bet_balance)
stream = client.streaming.create_stream(listener=betfairlightweight.StreamListener())
stream._connect()
stream.authenticate()
print("stream", stream.connections_available if hasattr(stream, "connections_available") else "open")
stream.stop()
"""


def recipe(first: str, last: str) -> str:
    """Return the indented block of the guide from the line that holds `first` to the one that holds `last`."""
    lines = GUIDE.splitlines()
    start = next(at for at, line in enumerate(lines) if first in line)
    end = next(at for at, line in enumerate(lines[start:], start) if last in line)
    return textwrap.dedent("\n".join(lines[start : end + 1]))


def in_shell(command: list[str], script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a recipe; whatever it started ends with it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [*command, "sh", "-c", script]
    with subprocess.Popen(
        words,
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(words, process.returncode, out, errors)


def test_the_curl_recipe(tmp_path: Path) -> None:
    """In a network of its own, where the default ports are free."""
    script = recipe("D=data/sandbox;", "listMarketBook/") + "\n" + recipe('-H "X-Authentication', "marketIds")
    start = "betfair-sandbox >/dev/null & P=$!; until [ -s data/sandbox/ports.json ]; do sleep 0.1; done\n"
    ran = in_shell(list(own_network()), f"{start}{script}\nkill $P", tmp_path)
    (book,) = json.loads(ran.stdout)
    assert (book["marketId"], book["status"]) == ("1.999000003", "OPEN"), ran.stderr


def test_the_recipe_by_name(tmp_path: Path) -> None:
    own_network()  # skips where there are no namespaces
    certificate = tmp_path / "client.pem"
    code = (
        "import sys; from pathlib import Path; from betfair_sandbox.certificates import ensure_certificates as make; "
    )
    made = [sys.executable, "-c", f"{code}make(Path(sys.argv[1]), 'x')", str(tmp_path / "any")]
    subprocess.run(made, check=True, cwd=ROOT)
    (tmp_path / "any" / "client.pem").rename(certificate)
    (tmp_path / "your_bot.py").write_text(BOT.format(certificate=certificate), encoding="utf-8")
    script = recipe("unshare --net --mount sh -c", "rm -r $D'")
    script = script.replace("--as-betfair", f"--as-betfair --client-certificate {certificate}")
    if os.geteuid() != 0:
        script = script.replace("unshare --net --mount", "unshare --net --mount --user --map-root-user")
    ran = in_shell([], script, tmp_path)
    assert "funds 10000.0" in ran.stdout, ran.stdout + ran.stderr
    assert "stream" in ran.stdout, ran.stdout + ran.stderr


def test_the_environment_for_nautilus(sandbox: RunningSandbox) -> None:
    command = [sys.executable, "-m", "betfair_sandbox", "env", "--for", "nautilus", "--dir", str(sandbox.directory)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in printed.splitlines())
    authorities = sorted(Path(variables["BETFAIR_CERTS_DIR"]).iterdir())
    assert [path.read_bytes() for path in authorities] == [sandbox.paths.ca.read_bytes()] * 2
    assert variables["SSL_CERT_FILE"] == str(sandbox.paths.ca)
