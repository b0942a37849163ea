"""Where a queue is kept: places that are none, are away, want a password or are damaged, and messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.research.queue import ResearchQueue
from kgrl.research.store import JsonSerializer, QueueAwayError
from tests.support.redis_server import RedisServer, why_no_redis
from tests.support.research_pages import Pages, finish


@pytest.mark.parametrize("where", ["http://localhost", "ftp://x:secret@y"])
def test_a_place_that_is_none_is_refused_without_its_password(where: str) -> None:
    with pytest.raises(SettingError, match="redis://HOST:PORT") as refused:
        ResearchQueue.open(where)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "redis://me:secret@127.0.0.1:1"])
def test_a_redis_that_is_not_there_is_named_without_the_password(url: str) -> None:
    with pytest.raises(QueueAwayError, match=r"no Redis answers at .*127\.0\.0\.1:1") as away:
        ResearchQueue.open(url)
    assert "secret" not in str(away.value)


@pytest.mark.parametrize("url", ["redis://:sec:ret/#@127.0.0.1:x", "redis://:secret@host:99999999"])
def test_a_url_that_is_none_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(KgrlError) as refused:
        ResearchQueue.open(url)
    assert not any(piece in str(refused.value) for piece in ("secret", "sec:", ":ret", "ret/"))


@pytest.mark.parametrize("database", ["kgrl", "my-queue", "1/2", "0x1", "-1", "%6b", "1 ", "²"])
def test_a_database_by_a_word_is_refused(database: str) -> None:
    with pytest.raises(SettingError, match=r"databases of a Redis have numbers, as in redis://HOST:PORT/0") as refused:
        ResearchQueue.open(f"redis://:secret@127.0.0.1:1/{database}")
    assert repr(database) in str(refused.value) and "secret" not in str(refused.value)


@pytest.mark.parametrize("password", ["1/secret", "se/cr@et", "12/sec/ret"])
def test_no_part_of_a_password_with_a_slash_is_shown(password: str) -> None:
    with pytest.raises(SettingError, match="percent-encoded") as refused:
        ResearchQueue.open(f"redis://:{password}@127.0.0.1:1/0")
    assert not any(piece in str(refused.value) for piece in ("se/", "sec", "cr@", "ret@"))


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "noeviction"])
def test_a_server_that_deletes_keys_is_warned_of(policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if reason := why_no_redis():
        pytest.skip(reason)
    with RedisServer(tmp_path, options=("--maxmemory-policy", policy)) as server:
        ResearchQueue.open(f"{server.url}/3")
    assert (f"it is {policy}" in caplog.text) == (policy != "noeviction")


def test_a_redis_that_wants_a_password_says_so(tmp_path: Path) -> None:
    if reason := why_no_redis():
        pytest.skip(reason)
    with RedisServer(tmp_path, password="hush7") as server:
        for url in (server.url.replace("hush7", "wrong9"), server.url.replace(":hush7@", "")):
            with pytest.raises(SettingError, match=r"redis://:PASSWORD@127\.0\.0\.1") as refused:
                ResearchQueue.open(url)
            assert "wrong9" not in str(refused.value)
        queue = ResearchQueue.open(server.url)
        queue.want(["Logic"])
        finish(queue, Pages())
        assert [arrival.title for arrival in queue.arrivals()] == ["Logic"]
        assert "hush7" not in queue.store.place


@pytest.mark.parametrize(
    "damage", [b"no database at all, but long enough to be looked at " * 40, b"SQLite format 3\0" * 99]
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "queue.db").write_bytes(damage)
    with pytest.raises(DataError, match=r"queue\.db: the queue is damaged .*move it away"):
        ResearchQueue.open(tmp_path)
    assert (tmp_path / "queue.db").read_bytes() == damage


def test_a_file_that_is_damaged_inside_is_named_and_left_alone(tmp_path: Path) -> None:
    queue = ResearchQueue.open(tmp_path)
    queue.want([f"T{n}" for n in range(20)])
    finish(queue, Pages())
    queue.store.messages.sql("pragma wal_checkpoint(truncate)", results=True)
    with (tmp_path / "queue.db").open("r+b") as file:
        file.seek(4096)  # what a database is, is written before that
        file.write(b"x" * 200_000)
    with pytest.raises(DataError, match=r"queue\.db: the queue is damaged"):
        ResearchQueue.open(tmp_path).arrivals()


def test_messages_are_json_and_nothing_else_is_read() -> None:
    import pickle  # noqa: TID251 - what must not be read

    with pytest.raises((ValueError, UnicodeDecodeError)):
        JsonSerializer().deserialize(pickle.dumps(("id", "name")))
