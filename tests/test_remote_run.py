"""A run in a bucket: published whole, read elsewhere, gone on with after a kill, one kit at a time."""

import json
import os
import signal
import time

import pytest
import yaml

from kit import open_run
from kit.base.errors import KitError
from kit.base.locks import LockedError
from kit.base.remote_place import local_place
from kit.base.store import Store
from kit.pipeline import run_cache
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.record import sizes_below
from kit.pipeline.remote_run import RemoteRun, runs_below, version_of
from tests.conftest import TINY
from tests.s3 import do, found, write_two
from tests.stages import small_stage


def killed_at(n, work, calls=("write", "create", "_put", "remove")):
    """Do `work` in a process that is killed before its n-th change of the store; whether it came so far."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    code = 1
    try:
        left = [n]
        for name in calls:
            real = getattr(Store, name)

            def call(*given, real=real):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*given)

            setattr(Store, name, call)
        work()
        code = 0
    finally:
        os._exit(code)


def test_a_stage_is_published_and_read_on_another_machine(machines):
    do(machines.run("one"), "first")
    two = machines.run("two")
    assert found(two) == "first"
    assert two.folder("s") == two.path / "s"
    assert not two.begun("s")
    do(two, "second")
    assert found(machines.run("one")) == "second"
    assert found(machines.run("three")) == "second"


def test_a_kill_before_changes_of_the_store(machines):
    """A reader sees the old stage or the new one, whole; the next kit of the machine ends with the same."""
    came, before = 0, "old"
    do(machines.run("one"), before)
    for n in range(1, 40, 3):
        killed = killed_at(n, lambda n=n: do(machines.run("one"), f"new {n}"))
        seen = found(machines.run("reader"))
        assert seen in (before, f"new {n}"), n
        came += seen == f"new {n}"
        do(machines.run("one"), f"new {n}")
        assert found(machines.run("reader")) == f"new {n}", n
        before = f"new {n}"
        if not killed:
            break
    assert 8 < n < 37
    assert came > 1  # the record was written: what was left to do is done without the work
    left = Store(machines.address).entries("files/s")
    assert len({name.split("/")[2] for name in left}) == 1
    assert not machines.run("one").remote.all_unpublished()


def test_what_is_finished_before_the_store_fails_is_published_later(machines, monkeypatch):
    one = machines.run("one")

    def refuse(*_):
        raise KitError("the network is no more")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "upload", refuse)
        with pytest.raises(KitError, match="no more"):
            do(one, "text")
    assert found(one) == "text"
    assert found(machines.run("two")) is None
    machines.run("one")  # any command of the machine
    assert found(machines.run("two")) == "text"


def test_an_upload_goes_on_where_it_was(machines, monkeypatch):
    """What lies in the store already is not sent again."""
    monkeypatch.setattr("kit.base.store.AT_ONCE", 1)
    killed_at(8, lambda: do(machines.run("one"), "text"))
    there = set(Store(machines.address).entries("files/s"))
    assert 0 < len(there) < 4
    sent = []
    put = Store._put
    monkeypatch.setattr(Store, "_put", lambda *given: (sent.append(given[1]), put(*given)))
    machines.run("one")
    assert sent
    assert not there & set(sent)
    monkeypatch.undo()
    assert found(machines.run("one")) == "text"


def test_one_kit_at_a_time(machines):
    one, two = machines.run("one", expiry=30.0), machines.run("two", expiry=30.0)
    with one._leased("s"):
        with pytest.raises(LockedError, match=r"another kit on .* is at work on s; wait"):
            do(two, "second")
        do(two, "other", "t")  # another stage
    do(two, "second")
    assert found(machines.run("one")) == "second"


def test_the_lock_of_a_killed_kit(machines):
    """Its own machine goes on at once; another one once it is old."""
    killed_at(9, lambda: do(machines.run("one"), "text"))
    with pytest.raises(LockedError):
        do(machines.run("two"), "text")
    time.sleep(1.1)  # stores tell times in seconds
    do(machines.run("two", expiry=0.5), "other")
    one = machines.run("one")
    assert not one.remote.all_unpublished()
    assert found(one) == "other"


def test_a_lock_that_is_lost_publishes_nothing(machines):
    """A machine that slept: another one has published meanwhile."""
    one, two = machines.run("one"), machines.run("two", expiry=0.0)

    def sleep(context):
        with two._leased("s"):
            pass
        return write_two("text")(context)

    machines.on("one")
    with pytest.raises(KitError, match=r"the lock of s is lost \(another kit has it\)"):
        Pipeline(one, [small_stage("s", settings="text", work=sleep)]).do("s")
    assert found(machines.run("three")) is None
    assert found(machines.run("one")) == "text"
    assert found(machines.run("three")) == "text"


def test_two_machines_that_publish_one_after_the_other(machines):
    """The second one waits for nobody's old record: its own replaces what is there."""
    one, two = machines.run("one"), machines.run("two")
    do(one, "first")
    do(two, "second")
    do(machines.run("one"), "third")
    assert found(machines.run("two")) == "third"
    assert found(machines.run("three")) == "third"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda store, name: store.remove([name]), "is gone"),
        (lambda store, name: store.write(name, b"damaged"), "is damaged: its files are not those"),
        (
            lambda store, name: store.write(name, b"x" * store.entries("files/s")[name].size),
            "is damaged: its files are not those",
        ),
    ],
)
def test_a_file_that_is_harmed_in_the_store(machines, harm, said):
    do(machines.run("one"), "text one")
    store = Store(machines.address)
    name = next(name for name in store.entries("files/s") if name.endswith("0.txt"))
    size = store.entries("files/s")[name].size
    harm(store, name)
    two = machines.run("two")
    with pytest.raises(KitError, match=said) as caught:
        two.folder("s")
    assert "--force" in caught.value.hint
    assert size
    Pipeline(two, [small_stage("s", settings="text one", work=write_two("text one"))]).do("s", force=True)
    assert found(machines.run("three")) == "text one"


def test_a_record_that_comes_late_heals(machines, monkeypatch):
    """A holder whose last write hangs until another has taken over, and published, knows that it lost the lock."""
    one, written = machines.run("one"), []

    def write(store, name, data):
        if name == "stages/s.json" and not written:
            written.append(name)
            time.sleep(3.2)
            do(machines.run("two", expiry=2.0), "second")
            assert found(machines.run("reader")) == "second"
            machines.on("one")
        return plain(store, name, data)

    plain = Store.write
    monkeypatch.setattr(Store, "write", write)
    machines.on("one")
    with pytest.raises(KitError, match="the lock of s is lost"):
        do(one, "first")
    assert one.remote.all_unpublished() == ["s"]
    machines.run("one")
    assert found(machines.run("three")) == "first"


def test_a_damaged_record_is_told_and_made_again(machines, caplog):
    do(machines.run("one"), "text")
    Store(machines.address).write("stages/s.json", b"{")
    two = machines.run("two")
    assert found(two) is None
    assert "damaged; stage s is done again" in caplog.text
    do(two, "text")
    assert found(machines.run("three")) == "text"


@pytest.fixture
def given(monkeypatch, tmp_path):
    """A run in a store in memory, with a finished stage s, and the record of that."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "made"
    (made / "shards").mkdir(parents=True)
    (made / "result").write_text("text")
    (made / "shards" / "0.txt").write_text("more")
    address = f"memory://{tmp_path.name}/run"
    remote = RemoteRun(address, local_place(address, "runs"))
    record = {"id": "x", "seconds": 1.0, "metrics": {}, "fingerprint": {}, "files": sizes_below(made)}
    record["version"] = version_of(made)
    for name in record["files"]:
        remote.store.write(f"files/s/{record['version']}/{name}", (made / name).read_bytes())
    remote.store.write("stages/s.json", json.dumps(record).encode())
    return remote, record


def test_what_a_killed_fetch_was_writing_is_no_damage(given):
    remote, record = given
    remote.refresh()
    part = remote.path / f".s.{record['version']}.fetched"
    (part / "shards").mkdir(parents=True)
    (part / "result").write_text("text")
    for left in (".result.7.part", "shards/.0.txt.4194999.part", "other"):
        (part / left).write_text("te")
    remote.fetch("s")
    assert sizes_below(remote.path / "s") == record["files"]
    assert (remote.path / "s" / "shards" / "0.txt").read_text() == "more"
    assert not part.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            ({"files": {name: 4}}, "is not the name of a file below the stage")
            for name in ("../../evil.txt", "/tmp/evil.txt", "", ".", "a/../b", "a//b", "a/", ".hidden")
        ),
        *(
            ({"files": {name: 4}}, "is not the name of a file below the stage")
            for name in ("..\\evil.txt", "a\0b", "a\nb", "\ud800")
        ),
        ({"files": {"result": "4"}}, "'result' has no size"),
        ({"files": {"result": -4}}, "'result' has no size"),
        ({"version": "../../x"}, "version is not 32 hexadecimal digits"),
        ({"version": "A" * 32}, "version is not 32 hexadecimal digits"),
        ({"version": 7}, "version is missing or of another kind"),
    ],
)
def test_a_record_that_leads_out_of_its_stage_is_damaged(given, caplog, change, said):
    remote, record = given
    remote.store.write("stages/s.json", json.dumps({**record, **change}).encode())
    remote.refresh()
    remote.fetch("s")
    assert remote.records == {}
    assert not (remote.path / "s").exists()
    line = caplog.text.strip()
    assert "stages/s.json: " in line
    assert f"{said}, so damaged; stage s is done again" in line
    assert "\n" not in line


@pytest.mark.parametrize("data", [b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_record_that_is_no_json_object_is_damaged(given, caplog, data):
    remote, _ = given
    remote.store.write("stages/s.json", data)
    remote.refresh()
    assert remote.records == {}
    assert "stages/s.json: not " in caplog.text
    assert ", so damaged; stage s is done again" in caplog.text


def test_a_record_by_a_name_that_no_stage_has_is_left_out(given, caplog):
    remote, record = given
    names = ("stages/.s.json", "stages/a/b.json", "stages/a\\b.json", "stages/notes.txt", "stages/.json")
    for name in names:
        remote.store.write(name, json.dumps(record).encode())
    remote.refresh()
    assert list(remote.records) == ["s"]
    assert caplog.text.count("not the record of a stage") == len(names)


def test_folders_whose_names_lead_elsewhere_are_no_runs(given, monkeypatch):
    remote, _ = given
    remote.store.write("config.yaml", b"seed: 1")
    monkeypatch.setattr(Store, "folders", lambda self: ["..", ".hidden", "run"])
    assert runs_below(remote.path.parent) == [remote.path]


def test_a_reader_while_the_stage_is_published_anew(machines, monkeypatch):
    """The files of the record that it has read vanish under it: it takes the new stage."""
    do(machines.run("one"), "first")
    reader = machines.run("reader")
    do(machines.run("one"), "second")
    machines.on("reader")
    assert (reader.folder("s") / "result").read_text() == "second"


def test_what_is_published_no_more_is_published_again(machines, caplog):
    do(machines.run("one"), "text")
    store = Store(machines.address)
    store.remove([*store.entries("stages"), *store.entries("files")])
    assert found(machines.run("two")) is None
    assert found(machines.run("one")) == "text"
    assert "is published no more" in caplog.text
    assert found(machines.run("two")) == "text"


def test_a_working_copy_that_is_damaged_is_fetched_again(machines):
    do(machines.run("one"), "text")
    one = machines.run("one")
    (one.path / "s" / "shards" / "0.txt").unlink()
    assert found(machines.run("one")) == "text"


def test_working_copies_stay_within_their_limit(machines, bucket, monkeypatch, caplog):
    """Stages of runs that are used go never; others the longest unused first, and come back when they are read."""
    monkeypatch.setattr(run_cache, "_held", {})
    monkeypatch.setenv("KIT_RUN_CACHE", str(40 / (1 << 30)))
    addresses = [f"{bucket}/runs/{i}" for i in range(3)]
    for address in addresses:
        do(machines.run("one", address), "text")  # 22 bytes
    copies = [local_place(address, "runs") / "s" for address in addresses]

    def end_of_processes():
        for i, (run, file) in enumerate(sorted(run_cache._held.items())):
            os.close(file)
            os.utime(run / run_cache.USED, (i, i))
        run_cache._held.clear()

    assert all(copy.exists() for copy in copies)
    do(machines.run("two", addresses[0]), "other")
    assert found(machines.run("one", addresses[0])) == "other"  # fetched, and all three are in use
    assert all(copy.exists() for copy in copies)
    assert "take 0.0 GiB, KIT_RUN_CACHE is" in caplog.text
    end_of_processes()
    do(machines.run("two", addresses[1]), "more")
    assert found(machines.run("one", addresses[1])) == "more"
    assert [copy.exists() for copy in copies] == [False, True, False]
    assert found(machines.run("one", addresses[0])) == "other"


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_none_is_one_line(monkeypatch, text):
    monkeypatch.setenv("KIT_RUN_CACHE", text)
    with pytest.raises(KitError, match=f"KIT_RUN_CACHE={text}: not a number of GiB"):
        run_cache.make_room(1)


def test_no_secret_and_no_folder_of_the_machine_is_published(machines, tmp_path):
    do(machines.run("one"), "text")
    store = Store(machines.address)
    for name in store.entries():
        data = store.read(name)
        assert b"hidden-words" not in data
        assert str(tmp_path).encode() not in data, name
    assert yaml.safe_load(store.read("config.yaml"))["run"] == machines.address


def test_a_bucket_that_is_not_there_is_one_line(machines):
    with pytest.raises(KitError, match=r"^s3://nowhere-at-all/run/stages: no such bucket; make it"):
        machines.run("one", "s3://nowhere-at-all/run")


def test_commands_read_a_run_elsewhere(machines, tiny, kit, bucket):
    machines.on("one")
    options = [*TINY, "relation.scorer=prior"]
    session = open_run("mini", options, f"{bucket}/runs/first")
    session.make("prior")
    session.make("evaluate-test")
    machines.on("two")
    code, out, err = kit("runs", f"{bucket}/runs")
    assert code == 0, err
    assert "first" in out
    code, _, err = kit("report", f"{bucket}/runs/first")
    assert code == 0, err
    assert (local_place(f"{bucket}/runs/first", "runs") / "report.html").exists()
    code, out, err = kit("compare", f"{bucket}/runs/first", f"{bucket}/runs/first", "--split", "test")
    assert code == 0, err
    words = [w for option in options for w in ("--set", option)]
    for command in (("evaluate", "--split", "test"), ("submit", "--dry-run")):
        code, out, err = kit(*command, "--run", f"{bucket}/runs/first", *words)
        assert code == 0, err
    code, _, err = kit("report", f"{bucket}/runs/third")
    assert code == 2
    assert err.startswith(f"kit: {bucket}/runs/third: no run there")
