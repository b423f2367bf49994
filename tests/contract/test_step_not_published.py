"""A step that did its part and could not publish the next one, or itself again, as the master is gone."""

from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis.exceptions import ConnectionError as RedisConnectionError

from executor import broker, tasks, wiring
from executor.adapters.redis.client import connect
from executor.settings.load import load_settings


@pytest.mark.parametrize(("url", "kept"), [("sentinel://127.0.0.1:1/0?master=x", 0), ("redis://127.0.0.1:1/0", 1)])
def test_behind_sentinels_it_is_left_to_the_sweep_and_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, redis_client: Any, tmp_path: Path, url: str, kept: int
) -> None:
    server = redis_client.connection_pool.connection_kwargs
    ours = f"redis://{server['host']}:{server['port']}/{server['db']}"
    settings = load_settings({"EXECUTOR_REDIS__URL": ours, "EXECUTOR_REDIS__BROKER_URL": url}, tmp_path)
    monkeypatch.setattr(tasks, "get_settings", lambda: settings)
    failed = wiring.failed_tasks(settings)
    tasks.place_order.on_failure(RedisConnectionError("gone"), "place-1", ("signal-1", "1.1"), {}, None)
    assert len(failed.all()) == kept
    tasks.place_order.on_failure(LookupError("a bug"), "place-2", ("signal-2", "1.1"), {}, None)
    assert len(failed.all()) == kept + 1, "what broke is kept in any case"


def test_a_channel_whose_connection_is_gone_raises_what_is_tried_again(redis_client: Any) -> None:
    server = redis_client.connection_pool.connection_kwargs
    url = f"redis://{server['host']}:{server['port']}/{server['db']}"
    broker.install()
    with connect(url), Celery(broker=url) as app, app.connection_for_write() as connection:
        channel = connection.default_channel
        kept, channel.connection = channel.connection, None
        try:
            with pytest.raises(RedisConnectionError, match="is closed"):
                channel._connparams()
        finally:
            channel.connection = kept
    assert issubclass(RedisConnectionError, broker.UNPUBLISHED)
