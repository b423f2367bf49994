"""sentinel:// URLs: read in one place, written for Celery, refused with what is expected and without a secret."""

from pathlib import Path

import pytest

from executor.settings.load import SettingsError, load_settings
from executor.settings.urls import (
    celery_url,
    mask_url,
    next_db_broker_url,
    queues_db,
    sentinel_transport,
    sentinel_url,
    url_secrets,
)

URL = "sentinel://worker:p%40ss@one:26379,two,[::1]:26381/3?master=main&sentinel_user=eye&sentinel_password=s3cret"


def test_every_part_is_read() -> None:
    known = sentinel_url(URL)
    assert known.sentinels == (("one", 26379), ("two", 26379), ("::1", 26381))
    assert (known.master, known.db, known.username, known.password) == ("main", 3, "worker", "p@ss")
    assert (known.sentinel_user, known.sentinel_password, known.tls) == ("eye", "s3cret", False)
    assert "p@ss" not in repr(known)
    assert "s3cret" not in repr(known)


def test_celery_gets_one_for_each_sentinel_with_the_servers_login() -> None:
    assert celery_url("redis://a/1") == "redis://a/1"
    assert celery_url(URL).split(";") == [
        "sentinel://worker:p%40ss@one:26379/3",
        "sentinel://worker:p%40ss@two:26379/3",
        "sentinel://worker:p%40ss@[::1]:26381/3",
    ]
    options = sentinel_transport(URL)
    assert options["master_name"] == "main"
    assert options["sentinel_kwargs"]["password"] == "s3cret"


def test_the_queues_are_in_the_next_db_of_the_same_master(tmp_path: Path) -> None:
    assert next_db_broker_url("sentinel://a:1,b:2?master=m") == "sentinel://a:1,b:2/1?master=m"
    assert sentinel_url(next_db_broker_url(URL)).db == 4
    settings = load_settings({"EXECUTOR_REDIS__URL": URL}, tmp_path)
    assert settings.redis.broker_url == next_db_broker_url(URL)
    other = {"EXECUTOR_REDIS__URL": URL, "EXECUTOR_REDIS__BROKER_URL": "sentinel://a:1/0?master=queues"}
    assert load_settings(other, tmp_path).redis.broker_url == "sentinel://a:1/0?master=queues"


def test_nobody_is_shown_a_password() -> None:
    shown = mask_url(URL)
    assert "p%40ss" not in shown
    assert "s3cret" not in shown
    assert {"p@ss", "p%40ss", "s3cret"} <= url_secrets(URL)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sentinel://a:26379/0", "master"),
        ("sentinel://a:26379/zero?master=m", "number"),
        ("sentinel://a:26379/0/1?master=m", "percent form"),
        ("sentinel://a:port/0?master=m", "host:port"),
        ("sentinel://a:0/0?master=m", "host:port"),
        ("sentinel://a:70000/0?master=m", "host:port"),
        (f"sentinel://a:{'9' * 5000}/0?master=m", "host:port"),
        ("sentinel://,b/0?master=m", "host:port"),
        ("sentinel://a,[::1/0?master=m", "host:port"),
        ("sentinel://::1]:26379/0?master=m", "host:port"),
        ("sentinel://::1/0?master=m", "host:port"),
        ("sentinel:///0?master=m", "host:port"),
        ("sentinel://u:p@ss@a/0?master=m", "percent form"),
        ("sentinel://a/0?master=m&mastr=x", "'mastr' is none of"),
        ("sentinel://a/0?master=m&tls=yes", "tls should be 0 or 1"),
    ],
)
@pytest.mark.parametrize("name", ["EXECUTOR_REDIS__URL", "EXECUTOR_REDIS__BROKER_URL"])
def test_a_wrong_url_is_refused_by_name(tmp_path: Path, name: str, url: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as raised:
        load_settings({name: url}, tmp_path)
    assert name in str(raised.value)
    assert url not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "broker", "db"),
    [
        ("redis://h:6379/0", next_db_broker_url("redis://h:6379/0"), 1),
        ("rediss://u:p%40@h/3", next_db_broker_url("rediss://u:p%40@h/3"), 4),
        ("unix:///run/r.sock?db=3", next_db_broker_url("unix:///run/r.sock?db=3"), 4),
        (URL, next_db_broker_url(URL), 4),
        ("redis://h:6379/0", "redis://h:6379/0", 0),
        ("redis://h:6379/0", "redis://h:6380/1", None),
        ("redis://h/0", "redis://other/1", None),
        ("redis://a:b@h/0", "redis://c:b@h/1", None),
        ("redis://h/0", "rediss://h/1", None),
        ("redis://h/0", "sentinel://h:1/1?master=m", None),
        ("sentinel://h:1/0?master=m", "sentinel://h:1/1?master=queues", None),
        ("unix:///run/a.sock", "redis+socket:///run/b.sock?virtual_host=1", None),
    ],
)
def test_queues_are_on_the_states_server_where_all_but_the_db_is_the_same(
    url: str, broker: str, db: int | None
) -> None:
    assert queues_db(url, broker) == db
