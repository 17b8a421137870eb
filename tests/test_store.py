"""Objects of a store: one that lies in memory, and a bucket of S3."""

import time

import botocore.exceptions
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from kit.base.errors import KitError
from kit.base.lease import SWITCH, Lease
from kit.base.locks import LockedError
from kit.base.retry import RemoteError, RetryPolicy
from kit.base.store import Store

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(params=["memory", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('bucket')}/some/folder")
    return Store(f"memory://{tmp_path.name}/folder")


def test_objects(store, tmp_path):
    assert store.read("a") is None
    assert store.entries() == {}
    assert store.folders() == []
    store.write("a", b"one")
    assert store.create("b/c", b"two")
    assert not store.create("b/c", b"three")
    assert store.read("b/c") == b"two"
    assert {name: entry.size for name, entry in store.entries().items()} == {"a": 3, "b/c": 3}
    assert list(store.entries("b")) == ["b/c"]
    assert all(entry.modified for entry in store.entries().values())
    assert store.folders() == ["b"]
    before = store.entries()["a"].tag
    store.write("a", b"six")
    assert store.entries()["a"].tag != before
    (tmp_path / "file").write_bytes(b"4" * 100)
    store.upload({"up/1": tmp_path / "file", "up/2": tmp_path / "file"})
    gone = store.download({"up/1": tmp_path / "x" / "1", "up/3": tmp_path / "x" / "3"})
    assert gone == ["up/3"]
    assert (tmp_path / "x" / "1").read_bytes() == b"4" * 100
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["1"]
    store.remove(["a", "never"])
    assert store.read("a") is None


def test_a_lock_of_one_owner_at_a_time(store):
    with Lease(store, "s", "one") as one:
        one.check()
        with pytest.raises(LockedError, match=r"another kit on .* is at work on s"), Lease(store, "s", "two"):
            pass
        with Lease(store, "s-2", "two"):
            pass
    with Lease(store, "s", "two"):
        pass
    assert len(store.entries("locks/s")) == 1  # older generations are removed


def test_a_lock_that_is_old_goes_to_another(store, monkeypatch):
    """The holder writes it no more, as one that was killed: it learns of it, and gives nothing back."""
    monkeypatch.setattr(Lease, "_live", lambda self: None)
    with Lease(store, "s", "one") as one:
        with Lease(store, "s", "two", expiry=0.0) as two:
            with pytest.raises(KitError, match="the lock of s is lost"):
                one.check()
            assert two._newest() == 2
        with Lease(store, "s", "three"):
            pass
    assert len(store.entries("locks/s")) == 1


def test_a_holder_that_lives_keeps_its_lock(bucket):
    """It is written anew all the time, so that it does not age."""
    store = Store(f"{bucket}/run")
    with Lease(store, "s", "one", expiry=4.0) as one:
        before = now = store.entries("locks/s")["locks/s/000000001"].modified
        deadline = time.monotonic() + 60
        while now == before and time.monotonic() < deadline:
            time.sleep(0.2)
            now = store.entries("locks/s")["locks/s/000000001"].modified
        assert now > before
        assert one._newest() == 1


def test_a_driver_that_looks_first_and_writes_then_keeps_no_locks(monkeypatch):
    """Two could look before either writes."""
    assert Store("memory://locks/run").excludes()
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", AbstractFileSystem.pipe_file)
    assert not Store("memory://locks/run").excludes()
    with pytest.raises(KitError, match="this store cannot keep locks"):
        Lease(Store("memory://locks/run"), "s", "one").__enter__()


def test_the_driver_of_s3_excludes(bucket):
    assert Store(f"{bucket}/run").excludes()


def test_a_store_without_conditions_keeps_no_locks(store, monkeypatch):
    monkeypatch.setattr(Store, "create", lambda self, name, data: self.write(name, data) or True)
    with pytest.raises(KitError, match=r"this store cannot keep locks; .*KIT_REMOTE_LOCKS=off"):
        Lease(store, "s", "one").__enter__()
    assert store.entries() == {}
    monkeypatch.setenv(SWITCH, "off")
    with Lease(store, "s", "one") as lease:
        lease.check()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (PermissionError("Access Denied"), "a: no permission (Access Denied); check the store's credentials"),
        (botocore.exceptions.NoCredentialsError(), "a: no credentials (Unable to locate credentials)"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="e"), "a: cannot be reached (Could not"),
        (OSError(5, "reset"), "a: cannot be reached ([Errno 5] reset)"),
        (NotImplementedError("no"), "a: this store cannot do it (no)"),
        (ValueError("odd"), "a: ValueError: odd"),
    ],
)
def test_what_a_driver_raises_is_one_line(monkeypatch, raised, said):
    def cat(*_, **__):
        raise raised

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", cat)
    with pytest.raises(RemoteError) as caught:
        Store("memory://x", ONCE).read("a")
    assert str(caught.value).startswith(f"memory://x/{said}")


def test_what_passes_is_tried_again(monkeypatch, caplog):
    answers = [OSError("reset"), OSError("reset"), b"text"]

    def cat(*_, **__):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", cat)
    assert Store("memory://x", RetryPolicy(attempts=3, backoff=0.01)).read("a") == b"text"
    assert "asked again" in caplog.text


def test_nobody_listens(bucket, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RemoteError, match=r"s3://x/y/a: cannot be reached .*; check the network"):
            Store("s3://x/y", ONCE).read("a")
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gs://b/run", "gs:// needs gcsfs"),
        ("hf://datasets/a/b", "hf:// needs huggingface_hub"),
        ("what://b/run", "Protocol not known: what"),
    ],
)
def test_a_driver_that_is_not_there(address, said):
    with pytest.raises(KitError) as caught:
        Store(address).read("a")
    assert said in str(caught.value)


def test_another_bucket(bucket):
    for call in (
        lambda s: s.read("a"),
        lambda s: s.write("a", b""),
        lambda s: s.entries(),
        lambda s: s.folders(),
    ):
        with pytest.raises(RemoteError, match="no such bucket"):
            call(Store("s3://nowhere-at-all/run"))
