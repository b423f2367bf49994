"""Settings keep secrets: nothing made of them shows one, and no input gets anything but Settings or SettingsError."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.utils import url as kombu_url
from redis.connection import parse_url

from executor.settings.load import ENV_NAMES, Settings, SettingsError, describe, load_settings, secret_values
from executor.settings.urls import broker_url, ledger_url, mask_url, next_db_broker_url, redis_url, url_secrets

PLANTED = {
    "EXECUTOR_BETFAIR__APP_KEY": "planted-key",
    "EXECUTOR_BETFAIR__PASSWORD": "planted-password",
    "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "planted-certificate",
    "EXECUTOR_REDIS__URL": "redis://ann:planted-redis@h/1",
    "EXECUTOR_REDIS__BROKER_URL": "rediss://:planted-broker@h/1",
    "EXECUTOR_LEDGER__URL": "postgresql://ann:planted-ledger@h/db?sslpassword=planted-ssl",
}


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    loaded = load_settings(PLANTED, tmp_path)
    assert loaded.redis.url == PLANTED["EXECUTOR_REDIS__URL"], "the secrets are there"
    sections = [repr(getattr(loaded, name)) for name in Settings.model_fields]
    shown = [repr(loaded), str(loaded), f"{loaded}", str(describe(loaded)), loaded.identity, *sections]
    assert "planted" not in "".join(shown)
    assert describe(loaded)["EXECUTOR_BETFAIR__PASSWORD"] == "**********"
    assert describe(loaded)["EXECUTOR_REDIS__URL"] == "redis://ann:***@h/1"
    assert secret_values(loaded) == {
        "planted-key",
        "planted-password",
        "planted-certificate",
        "planted-redis",
        "planted-broker",
        "planted-ledger",
        "planted-ssl",
    }


WRONG = {
    "EXECUTOR_BETFAIR__APP_KEY": "planted key",
    "EXECUTOR_BETFAIR__PASSWORD": "planted\udcff",
    "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "planted\udcff",
    "EXECUTOR_REDIS__URL": "redis://:planted/x@h/1",
    "EXECUTOR_REDIS__BROKER_URL": "amqp://:planted@h/1",
    "EXECUTOR_LEDGER__URL": "mysql://ann:planted@h/db",
    "EXECUTOR_BETFAIR__API_URL": "https://ann:planted@h",
    "EXECUTOR_BETFAIR__IDENTITY_URL": "ftp://ann:planted@h",
    "EXECUTOR_BETFAIR__IDENTITY_CERT_URL": "https://h?token=planted",
}


@pytest.mark.parametrize("source", ["environment", ".env", "appsettings.json", "file"])
@pytest.mark.parametrize(("name", "text"), WRONG.items())
def test_no_error_shows_a_secret(tmp_path: Path, name: str, text: str, source: str) -> None:
    environ = {name: text}
    if source == "file":
        (tmp_path / "secret").write_bytes(text.encode("utf-8", "surrogateescape"))
        environ = {f"{name}_FILE": "secret"}
    elif source == ".env":
        (tmp_path / ".env").write_bytes(f"{name}='{text}'\n".encode("utf-8", "surrogateescape"))
        environ = {}
    elif source == "appsettings.json":
        section, field = name.removeprefix("EXECUTOR_").split("__")
        text = json.dumps({"Executor": {section: {field.title().replace("_", ""): text}}})
        (tmp_path / "appsettings.json").write_text(text)
        environ = {}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, tmp_path)
    assert "planted" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


TEXTS = st.text(max_size=40) | st.text(alphabet="0123456789.eE+-_ nNaAiIfF:/@?#%[]rdesuxptgqlhb=&,~{}$", max_size=40)
NAMES = st.sampled_from(ENV_NAMES) | st.sampled_from([f"{name}_FILE" for name in ENV_NAMES])
NAMES |= st.text(max_size=20).map(lambda text: f"EXECUTOR_RISK__{text}") | st.text(max_size=20)


def outcome(environ: dict[str, str], folder: Path) -> None:
    try:
        loaded = load_settings(environ, folder)
    except SettingsError as error:
        text = str(error)
    else:
        text = "\n".join(describe(loaded))
    assert text
    assert all(line.isprintable() for line in text.split("\n"))


@settings(deadline=None, max_examples=300)
@given(environ=st.dictionaries(NAMES, TEXTS, max_size=3))
def test_any_variables_give_settings_or_their_error(folder: Path, environ: dict[str, str]) -> None:
    outcome(environ, folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([name.split("__")[-1].title().replace("_", "") for name in ENV_NAMES] + ["LogLevel"])
SECTIONS = st.sampled_from(["Betfair", "Risk", "RiskManagement", "Trading", "Redis", "Ledger", "Logging", "DataDir"])
EXECUTORS = st.dictionaries(SECTIONS, st.dictionaries(FIELDS, JSON, max_size=2) | JSON, max_size=3)
DOCUMENTS = JSON | st.dictionaries(st.sampled_from(["Executor", "Logging"]), EXECUTORS | JSON, max_size=2)
FILES = (
    DOCUMENTS.map(json.dumps).map(str.encode)
    | st.binary(max_size=60)
    | TEXTS.map(lambda t: t.encode("utf-8", "replace"))
)


@settings(deadline=None, max_examples=300)
@given(content=FILES)
def test_any_appsettings_gives_settings_or_their_error(folder: Path, content: bytes) -> None:
    (folder / "appsettings.json").write_bytes(content)
    try:
        outcome({}, folder)
    finally:
        (folder / "appsettings.json").unlink()


@settings(deadline=None, max_examples=200)
@given(lines=st.lists(st.tuples(NAMES, TEXTS).map("=".join) | TEXTS, max_size=4), ending=st.binary(max_size=4))
def test_any_dotenv_gives_settings_or_their_error(folder: Path, lines: list[str], ending: bytes) -> None:
    (folder / ".env").write_bytes("\n".join(lines).encode("utf-8", "replace") + ending)
    try:
        outcome({}, folder)
    finally:
        (folder / ".env").unlink()


BROKERS = {
    "redis://localhost:6379/0": "redis://localhost:6379/1",
    "redis://localhost": "redis://localhost/1",
    "redis://[::1]:6379/7": "redis://[::1]:6379/8",
    "redis://ann:p%2Fw%40@h:1/3": "redis://ann:p%2Fw%40@h:1/4",
    "redis://:pw@h/?db=2": "redis://:pw@h/3",
    "redis://h/5?db=2&socket_timeout=3": "redis://h/3",
    "rediss://h:1/0": "rediss://h:1/1?ssl_cert_reqs=required",
    "rediss://h/0?ssl_cert_reqs=none&ssl_ca_certs=%2Fca.pem&socket_timeout=3": (
        "rediss://h/1?ssl_cert_reqs=none&ssl_ca_certs=%2Fca.pem"
    ),
    "unix:///run/redis.sock": "redis+socket:///run/redis.sock?virtual_host=1",
    "unix://ann:pw@/run/redis.sock?db=4": "redis+socket://ann:pw@/run/redis.sock?virtual_host=5",
}


@pytest.mark.parametrize(("url", "broker"), BROKERS.items())
def test_the_broker_is_the_next_db_of_the_same_server(url: str, broker: str) -> None:
    assert next_db_broker_url(redis_url(url)) == broker
    assert broker_url(broker) == broker
    state = parse_url(url)  # type: ignore[no-untyped-call]
    queues = kombu_url.url_to_parts(broker)
    assert int(queues.query.get("virtual_host", queues.path)) == int(state.get("db", 0)) + 1
    assert (queues.hostname, queues.username, queues.password) == (
        state.get("host"),
        state.get("username"),
        state.get("password"),
    )
    assert queues.path == state.get("path", "/" + queues.path)[1:]
    if not broker.startswith("redis+socket:"):  # that one the transport takes apart, as above
        options = kombu_url.parse_url(broker)
        assert bool(options.pop("ssl", None)) == url.startswith("rediss:"), (
            "it encrypts only if an ssl_ option is there"
        )
        parts = {"transport", "hostname", "port", "userid", "password", "virtual_host"}
        assert set(options) == parts, "kombu's Connection refuses everything else"


def test_a_broker_as_redis_py_writes_it_becomes_celerys() -> None:
    assert broker_url("unix:///run/r.sock?db=3") == "redis+socket:///run/r.sock?virtual_host=3"
    assert broker_url("rediss://h/3") == "rediss://h/3?ssl_cert_reqs=required"


BAD_URLS = [
    "redis:h",
    "REDIS://h",
    "redis://",
    "redis:///0",
    "redis://h/x",
    "redis://h/-1",
    "redis://h/1/2",
    "redis://h:port",
    "redis://h:70000",
    "redis://a@b@h",
    "redis://:a#b@h",
    "redis://:1?a@h",
    "redis://h/0?password=x",
    "redis://h/\n",
    "redis://[::1",
    "unix://host/path",
    "unix://",
    "redis+socket:///x",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_redis_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^should "):
        redis_url(url)


@pytest.mark.parametrize("url", ["sqlite://x", "postgresql:///db", "postgresql://u:1?w@h/db", "sqlit:///x", "x", ""])
def test_ledger_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^should "):
        ledger_url(url)


MASKED = {
    "redis://h/0": "redis://h/0",
    "redis://ann:pw@h/0": "redis://ann:***@h/0",
    "redis://:p%40w@[::1]:1/0": "redis://:***@[::1]:1/0",
    "unix://:pw@/run/r.sock": "unix://:***@/run/r.sock",
    "postgresql+psycopg://ann:pw@h/db?sslpassword=pw&a=b": "postgresql+psycopg://ann:***@h/db?sslpassword=***&a=b",
    "sqlite:////data/a:b@c/ledger.db": "sqlite:////data/a:b@c/ledger.db",
}


@pytest.mark.parametrize(("url", "masked"), MASKED.items())
def test_masked_urls(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_a_password_is_known_as_written_and_decoded() -> None:
    assert url_secrets("redis://:p%40w@h") == {"p%40w", "p@w"}
    assert url_secrets("sqlite:////data/a:b@c/ledger.db") == set()
