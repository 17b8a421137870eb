"""Stages and photos over a real Ray cluster of several nodes on this machine: the same bytes, whatever dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.base.stopping import descendants, is_alive
from kit.config import Engine, load_config
from kit.data.photos import photo_place
from kit.download.download_all import fetch_here
from kit.download.photo_download import PhotoRequest, PhotoSource
from kit.download.photo_store import read_missing
from kit.pipeline.engine import node_photos
from kit.pipeline.engine import pool as ray_pool
from kit.pipeline.engine.choice import photo_fetcher
from kit.pipeline.engine.cluster import (
    Node,
    Share,
    check_room,
    connect,
    elsewhere,
    others_with_room,
    share_of,
)
from kit.pipeline.engine.lost import Lost, lost
from kit.pipeline.engine.node import Place, ShardWorker
from kit.pipeline.engine.node_photos import fetch_on_nodes
from kit.pipeline.engine.node_process import NodeTask, on_a_node
from kit.pipeline.engine.pool import Piece, Pool, Worker
from kit.pipeline.executor import make_stages
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.badserver import serving
from tests.conftest import FAST
from tests.fakekaggle import HASTY
from tests.jpegs import jpeg
from tests.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore")
SHARDS = 10
PLUGIN = '''
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

from kit.base.errors import KitError
from kit.base.log import logger
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.engine.tasked import Step, TaskedWork
from kit.pipeline.stage import Stage
from kit.pipeline.stage_registry import register_stages


def act(config, name):
    """Do what the test has ordered for a shard or a stage: once, or always."""
    order = Path(config.extra["orders"]) / str(name)
    if not order.exists():
        return
    what = order.read_text()
    if what != "always":
        order.unlink()
    if what == "fault":
        raise KitError("a bad input", "mend it")
    if what == "bug":
        raise ValueError("nobody foresaw this")
    if what == "memory":
        raise MemoryError
    if what == "above":
        os.kill(os.getppid(), signal.SIGKILL)  # Ray's worker, whose child this is
        time.sleep(60)
    if what == "leave":  # a process with the lock of the stage
        files = {n: os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if int(n) > 2}
        held = [os.dup(int(n)) for n, path in files.items() if path.endswith(f"/.{name}.lock")]
        none = subprocess.DEVNULL
        subprocess.Popen(
            ["sleep", "9"], pass_fds=held, start_new_session=True, stdin=none, stdout=none, stderr=none
        )
    os.kill(os.getpid(), signal.SIGKILL)


def part(context, number):
    import numpy as np

    from kit.tables.schema import Boxes

    act(context.config, number)
    time.sleep(context.config.extra.get("pause", 0))
    logger.warning("note: every shard says this")
    rng, rows = np.random.default_rng(number), 20
    columns = {"label": rng.integers(0, 57, rows).astype(np.int16), "is_group_of": np.zeros(rows, bool)}
    box = rng.random((rows, 4), np.float32)
    table = Boxes(images=(f"image{number}",), image=np.zeros(rows, np.int32), box=box, **columns)
    return Part(table, {f"image{number}": "not seen"} if number % 3 == 0 else {}, {"seen": 1})


def whole(context):
    logger.warning(f"note: {context.stage.name} is at work")
    tries = context.path / "tries.txt"
    tries.write_text(f"{tries.read_text() if tries.exists() else ''}try ")
    act(context.config, context.stage.name)
    (context.path / "made.txt").write_text("made")
    return {}


def task(context, name):
    act(context.config, name)
    there = sorted(path.name for path in context.path.iterdir())
    (context.path / name).write_text(" ".join(there) if name == "last" else name)


def finish(context):
    for name in ("left", "right", "last"):
        if not (context.path / name).exists():
            task(context, name)
    return {}


@register_stages
def stages(config):
    steps = Step(("left", "right")), Step(("last",))
    yield Stage("tasks", TaskedWork(steps, task, finish))
    shards = ShardedWork(lambda _: 10, by_shard(lambda c: partial(part, c)), lambda _, sums: dict(sums), "toy")
    yield Stage("toy", shards)
    yield Stage("one", whole)
    yield Stage("after", whole, needs=("toy", "one"))
'''


@pytest.fixture(scope="module")
def cluster():
    """A head and two other nodes, a processor each."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # as fast as other tests
    soon = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    }
    small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = None
    for left in reversed(range(3)):
        try:
            cluster = cluster or Cluster(
                initialize_head=True, head_node_args={**small, "_system_config": soon}
            )
            cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
            break
        except Exception:  # a node that was not up in Ray's half a minute: the machine is busy
            if not left:
                raise
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def toy(tmp_path):
    """The run of the plugin's stages by some settings; orders: what shards or stages are to do but once."""
    write_text(tmp_path / "plugin.py", PLUGIN)
    (tmp_path / "orders").mkdir()

    def run(name, *settings, pause=0.0, orders=()):
        for key, what in dict(orders).items():
            write_text(tmp_path / "orders" / str(key), what)
        extra = f"extra={{orders: {tmp_path / 'orders'}, pause: {pause}}}"
        config = load_config("mini", [f"plugins=[{tmp_path / 'plugin.py'}]", extra, *settings])
        return Run(config, tmp_path / name)

    return run


def files(folder):
    """Every file below a folder of a stage but its record, with its bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "stage.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def by_ray(cluster):
    return "engine.kind=ray", f"engine.address={cluster.address}"


def shards_there(run, stage="toy"):
    return sorted((run.part_of(stage) / "shards").glob("0*.parquet"))


def test_the_bytes_of_a_cluster_are_those_of_this_process_and_all_nodes_work(cluster, toy, capsys):
    here = toy("here")
    Pipeline(here).do("toy")
    capsys.readouterr()
    there = toy("there", *by_ray(cluster), pause=0.5)
    record = Pipeline(there).do("toy")
    assert files(there.path / "toy") == files(here.path / "toy")
    assert record["id"] == here.record("toy")["id"]
    assert record["metrics"] == {"seen": SHARDS}
    assert "nodes" not in here.record("toy")
    assert len(record["nodes"]) == 2
    assert sum(record["nodes"].values()) == SHARDS
    assert json.loads((there.path / "manifest.json").read_text())["stages"]["toy"]["nodes"] == record["nodes"]
    assert capsys.readouterr().err.count("note: every shard says this") == 1
    assert Pipeline(there).is_fresh("toy")
    assert Pipeline(Run(here.config, there.path)).is_fresh("toy")  # whoever made it


def test_a_worker_killed_or_out_of_memory_is_replaced_with_a_notice(cluster, toy, capsys):
    here, there = toy("here"), toy("there", *by_ray(cluster))
    Pipeline(here).do("toy")
    toy("there", orders={3: "kill", 5: "memory"})
    Pipeline(there).do("toy")
    assert files(there.path / "toy") == files(here.path / "toy")
    told = [line for line in capsys.readouterr().err.splitlines() if "made again" in line]
    assert len(told) == 2
    assert any(line.startswith("toy, shard 3: its worker on ") and "it was killed" in line for line in told)
    assert any(line.startswith("toy, shard 5: its worker on ") and "out of memory" in line for line in told)


def test_a_shard_that_always_kills_its_worker_ends_with_its_name(cluster, toy):
    run = toy("run", *by_ray(cluster), "engine.retries=1", orders={4: "always"})
    with pytest.raises(
        KitError, match=r"toy, shard 4: its worker died 2 times, at last on .*\(it was killed"
    ):
        Pipeline(run).do("toy")
    assert shards_there(run)


@pytest.mark.parametrize(
    ("order", "kind", "text"),
    [("fault", KitError, "a bad input"), ("bug", ValueError, "nobody foresaw this")],
)
def test_an_error_on_a_node_is_the_error_here_with_the_shard(cluster, toy, order, kind, text):
    for settings in ((), by_ray(cluster)):
        with pytest.raises(kind, match=text) as caught:
            Pipeline(toy(f"run{len(settings)}", *settings, orders={6: order})).do("toy")
        assert caught.value.__notes__ == ["toy, shard 6"]


def test_a_node_killed_in_the_middle_loses_nothing(cluster, toy, capsys):
    here, there = toy("here"), toy("there", *by_ray(cluster), pause=0.5)
    Pipeline(here).do("toy")
    third = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    killer = threading.Thread(
        target=lambda: (
            wait_for(lambda: shards_there(there), 120),
            cluster.remove_node(third, allow_graceful=False),
        )
    )
    killer.start()
    Pipeline(there).do("toy")
    killer.join()
    assert files(there.path / "toy") == files(here.path / "toy")
    assert capsys.readouterr().out == ""  # Ray has a long text for that


def test_a_driver_killed_in_the_middle_goes_on_where_it_was(cluster, toy):
    here, there = toy("here"), toy("there", *by_ray(cluster), pause=0.5)
    Pipeline(here).do("toy")
    there.write_config()
    words = [str(there.path / "config.yaml"), str(there.path), "do", "toy"]
    driver = subprocess.Popen([sys.executable, "-m", "kit.pipeline.worker", *words])
    wait_for(lambda: len(shards_there(there)) > 1, 120)
    driver.kill()
    driver.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in shards_there(there)}
    assert 1 < len(kept) < SHARDS
    record = Pipeline(there).do("toy")
    assert files(there.path / "toy") == files(here.path / "toy")
    assert sum(record["nodes"].values()) == SHARDS - len(kept)
    now = {path.name: path.stat().st_mtime_ns for path in (there.path / "toy/shards").iterdir()}
    assert kept.items() <= now.items()


def test_whole_stages_are_done_on_nodes_and_one_that_is_killed_is_done_again(cluster, toy, capsys):
    run = toy("run", *by_ray(cluster), orders={"one": "kill"})
    make_stages(Pipeline(run), ["toy", "one", "after"], 1)
    said = capsys.readouterr().err
    assert "was killed: out of memory?; it goes on elsewhere" in said
    assert "note: after is at work" in said
    assert [run.record(name)["metrics"] for name in ("toy", "one", "after")] == [{"seen": SHARDS}, {}, {}]
    for name, parts in (("toy", SHARDS), ("one", 1), ("after", 1)):
        assert sum(run.record(name)["nodes"].values()) == parts
    toy("run", orders={"one": "always"})
    again = toy("run", *by_ray(cluster), "engine.retries=1")
    with pytest.raises(KitError, match=r"one: its process on node \w+ was killed: out of memory\?, 2 times"):
        make_stages(Pipeline(again), ["one"], 1, ["one"])


@pytest.mark.parametrize(("order", "said"), [("leave", "its process on node"), ("above", "its worker died")])
def test_what_is_left_of_a_process_that_died_keeps_nobody_out_for_long(cluster, toy, capsys, order, said):
    run = toy("run", *by_ray(cluster), orders={"one": order})
    make_stages(Pipeline(run), ["one"], 1)
    err = capsys.readouterr().err
    told = [line for line in err.splitlines() if "goes on elsewhere" in line]
    assert len(told) == 1
    assert said in told[0]
    assert "another kit is at work" not in err
    if order == "leave":
        assert err.count("one: waits, up to 150 s, until what died has let go of it") == 1
    assert (run.path / "one" / "tries.txt").read_text() == "try try "
    assert not list(run.path.rglob("*.node"))


def test_a_worker_goes_where_there_is_room_and_it_has_not_died():
    a, b, c = (letter * 56 for letter in "abc")  # as long as Ray's
    small, large, third = Node(a, "a", 1, 0), Node(b, "b", 8, 2), Node(c, "c", 8, 2)
    there, share = [small, large, third], Share(2, 0.5)
    assert [share.room(node) for node in there] == [0, 4, 4]
    assert others_with_room(there, {b}, share) == [third]
    assert elsewhere(there, {b}, share).node_id == c
    assert elsewhere(there, set(), share) == elsewhere(there, {b, c}, share) == "SPREAD"
    assert elsewhere(there, {b, c}, Share(1)).node_id == a


def test_a_shard_waits_for_a_worker_on_another_node_but_not_for_ever(toy, monkeypatch):
    place, pieces = Place.of(toy("run"), 1), [Piece(tuple, "toy, shard 3")]
    pool = Pool(Engine(), Share(1), "toy", ShardWorker, (place, ["toy"]), pieces)
    (piece,), given = pool.waiting, []
    here, there, full = (Node(name, name, cpus, 0) for name, cpus in (("a", 1), ("b", 1), ("c", 0)))
    known = [here, there]
    monkeypatch.setattr(ray_pool, "nodes", lambda: known)
    monkeypatch.setattr(Pool, "_give", lambda _pool, worker, one: given.append(worker.node.id) if one else 0)
    piece.avoided, piece.since = {"a"}, time.monotonic()
    pool.idle = [Worker(None, here)]
    pool._assign()
    assert given == []
    assert pool._able() == 0  # so that another is hired
    pool.idle.append(Worker(None, there))
    pool._assign()
    assert given == ["b"]
    pool.idle.pop()
    known[1] = full
    pool._assign()
    assert given == ["b", "a"]
    known[1], piece.since = there, time.monotonic() - 21
    pool._assign()
    assert given == ["b", "a", "a"]


def test_the_config_of_a_run_is_that_of_this_process(cluster, toy, tmp_path, monkeypatch):
    """Whichever process wrote it last, a path that was given as it begins here stays so."""
    monkeypatch.chdir(tmp_path)
    run = Run(toy("runs", *by_ray(cluster)).config, Path("runs/r"))
    make_stages(Pipeline(run), ["toy", "one"], 1)
    assert "run: runs/r\n" in (tmp_path / "runs/r/config.yaml").read_text()
    assert all(run.record(name)["nodes"] for name in ("toy", "one"))


def test_tasks_of_a_stage_are_done_on_nodes_step_by_step(cluster, toy, capsys):
    here, there = toy("here"), toy("there", *by_ray(cluster), orders={"left": "kill"})
    make_stages(Pipeline(there), ["tasks"], 1)
    assert "tasks, left: its process on node" in capsys.readouterr().err
    assert sum(there.record("tasks")["nodes"].values()) == 3
    Pipeline(here).do("tasks")
    assert files(there.path / "tasks") == files(here.path / "tasks")
    assert (there.path / "tasks" / "last").read_text() == "left right"
    toy("bad", orders={"right": "fault"})
    with pytest.raises(KitError, match=r"tasks, right failed: a bad input; mend it"):
        make_stages(Pipeline(toy("bad", *by_ray(cluster))), ["tasks"], 1)


def test_the_tiny_challenge_has_the_same_bytes(cluster, whole, tiny, tmp_path):
    run = Run(load_config("mini", [*FAST, *by_ray(cluster)]), tmp_path / "run")
    pipeline = Pipeline(run)
    names = [*pipeline.training, *pipeline.with_implicit(["predict-test"])]
    make_stages(pipeline, list(dict.fromkeys(names)), 1)
    stages = [name for name in pipeline.stages if (whole / name).exists()]
    assert {"prior", "spatial", "stack", "scored-candidates-test", "predict-test"} <= set(stages)
    for name in stages:
        assert files(run.path / name) == files(whole / name), name
        assert run.record(name)["nodes"]


def fault_of(run, name, mode, log, over=None):
    """What went wrong with a stage on a node."""
    settings, stage = run.config.engine, Pipeline(run).stages[name]
    share = share_of(settings, stage.device, processes=1)
    return on_a_node(run, NodeTask(name, mode), share, log, over or threading.Event()).fault


def without_waiting(run, name, **settings):
    """What is said of a stage of which nothing is waited for."""
    engine = run.config.engine.model_copy(update=settings)
    other = Run(run.config.model_copy(update={"engine": engine}), run.path)
    over = threading.Event()
    over.set()
    return fault_of(other, name, "do", run.path / "log.txt", over)


def test_a_stage_that_no_node_has_room_for_is_told(cluster, toy, caplog):
    run = toy("run", *by_ray(cluster))
    connect(run.config.engine)
    assert without_waiting(run, "one", cpus=99) == "one: stopped"
    assert "one: no node of the cluster has 99 processors: waiting for one" in caplog.text
    with pytest.raises(KitError, match=r"one: this machine has no 99 processors; set engine\.cpus"):
        without_waiting(run, "one", cpus=99, address=None)
    with pytest.raises(
        KitError, match=r"one: Ray was killed on this machine \(out of memory\?\); begin again"
    ):
        check_room(Engine(), Share(1), [], "one")
    assert not run.begun("one")


def test_by_force_a_stage_begins_anew_and_goes_on_where_its_process_died(cluster, toy):
    run = toy("run", *by_ray(cluster), orders={"one": "kill"})
    connect(run.config.engine)
    run.write_config()
    pipeline = Pipeline(run)
    with run.working("one", pipeline.fingerprint(pipeline.stages["one"])) as attempt:
        (attempt.path / "tries.txt").write_text("finished ")
    with suppress(KeyError), run.working("one", pipeline.fingerprint(pipeline.stages["one"])) as attempt:
        (attempt.path / "tries.txt").write_text("interrupted ")
        raise KeyError
    assert run.begun("one")
    log = run.path / "log.txt"
    assert fault_of(run, "one", "redo", log) is None
    assert (run.path / "one" / "tries.txt").read_text() == "try try "


def test_auto_without_a_gpu_node_is_told(cluster, toy, caplog):
    settings = toy("run", *by_ray(cluster)).config.engine
    connect(settings)
    assert share_of(settings.model_copy(update={"address": None}), "auto", processes=1).gpus == 0
    assert share_of(settings, "cpu", processes=1).gpus == 0
    assert "detector.device=cuda" not in caplog.text
    assert share_of(settings, "auto", processes=1).gpus == 0
    assert "with detector.device=cuda it waits" in caplog.text


def test_an_error_of_python_on_a_node_is_told_as_it_is_and_not_tried_again(cluster, toy, capsys):
    import ray

    run = toy("run", *by_ray(cluster))
    connect(run.config.engine)
    run.write_config()
    fault = fault_of(run, "one", "do", Path("/proc/none/log.txt"))  # which no node can write
    assert re.fullmatch(r"one: /proc/none.*\(No such file or directory\).*", fault)
    assert "goes on elsewhere" not in capsys.readouterr().err

    def bad():
        raise ValueError("first\nsecond")

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(ray.remote(bad).remote())
    assert lost(caught.value, None, []) == Lost("ValueError: first", "", final=True)


@pytest.fixture
def photos(monkeypatch):
    """A server of photos in twelve folders, of which two are missing."""
    monkeypatch.setattr(node_photos, "FEWEST", 5)
    names = [f"{i % 12:02x}{i:014x}" for i in range(60)]
    with serving() as answers:
        answers.files |= {f"/{name}.jpg": jpeg(i) for i, name in enumerate(names) if i not in (17, 40)}
        yield answers, names


def fetched(server, folder, names, fetch=fetch_here, **options):
    request = PhotoRequest(PhotoSource(server.url, folder), 4, HASTY, **options)
    seen = []
    stats = fetch(request, pa.array(names, pa.string()), lambda stats: seen.append(stats.got))
    assert seen[-1] == stats.got
    return stats


def on_nodes(cluster, *settings):
    return partial(fetch_on_nodes, load_config("mini", [*by_ray(cluster), *settings]).engine)


def lines(folder):
    """The files below a folder of photos: photos with their bytes, lists with their lines, in whatever order."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): sorted(path.read_bytes().splitlines())
        if path.suffix == ".csv"
        else path.read_bytes()
        for path in paths
    }


def test_photos_come_by_all_nodes_as_they_come_here(cluster, photos, tmp_path, caplog):
    server, names = photos
    here = fetched(server, tmp_path / "here", names)
    asked = Counter(server.seen)
    server.tricks |= {f"/{name}.jpg": ["slow 0.3"] for name in names}
    with caplog.at_level("INFO", "kit"):
        there = fetched(server, tmp_path / "there", names, on_nodes(cluster))
    assert (there.got, there.missing, there.bytes, there.failures()) == (58, 2, here.bytes, 0)
    assert lines(tmp_path / "there") == lines(tmp_path / "here")
    assert set(server.seen - asked) == set(asked)
    (told,) = [line for line in caplog.messages if "photos came" in line]
    counts = [int(part.split()[0]) for part in told.rpartition("came: ")[2].split(", ")]
    assert len(counts) == 2
    assert sum(counts) == 58
    again = fetched(server, tmp_path / "there", names, on_nodes(cluster))
    assert (again.got, again.there, again.missing) == (0, 58, 2)
    path = photo_place(tmp_path / "there", names[3])
    path.write_bytes(b"damaged")
    mended = fetched(server, tmp_path / "there", names, on_nodes(cluster), overwrite=frozenset(names[3:4]))
    assert (mended.got, mended.there) == (1, 57)
    assert path.read_bytes() == server.files[f"/{names[3]}.jpg"]
    data = server.files.pop(f"/{names[3]}.jpg")
    gone = fetched(server, tmp_path / "there", names, on_nodes(cluster), overwrite=frozenset(names[3:4]))
    assert gone.causes == {"damaged, and the server has it no more (HTTP 404)": 1}
    assert (gone.there, path.read_bytes(), gone.stopped) == (57, data, "")
    server.files[f"/{names[17]}.jpg"] = jpeg(17)
    more = fetched(server, tmp_path / "there", names, on_nodes(cluster), ask_again=True)
    assert (more.got, more.there, more.missing) == (1, 58, 1)
    assert list(read_missing(tmp_path / "there")) == [names[40]]
    assert [path for path in (tmp_path / "there").iterdir() if path.name.startswith(".")] == []


def test_what_came_before_a_node_could_not_go_on_is_counted(cluster, photos, tmp_path):
    server, names = photos
    (tmp_path / "there").mkdir()
    (tmp_path / "there/0b").write_text("no folder")
    stats = fetched(server, tmp_path / "there", names, on_nodes(cluster))
    assert re.match(r"\S+ \w{8}: .*/0b: cannot be written", stats.stopped)
    assert stats.got > 0


def test_without_a_cluster_this_process_fetches():
    assert photo_fetcher(load_config("mini", ["engine.kind=ray"])) is None


def test_photos_of_a_worker_that_is_killed_are_fetched_elsewhere(cluster, photos, tmp_path, capsys):
    server, names = photos
    server.tricks |= {f"/{name}.jpg": ["slow 0.2"] for name in names}
    killed = []

    def kill():
        wait_for(lambda: killed.extend(photo_workers()) or killed)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    stats = fetched(server, tmp_path / "there", names, on_nodes(cluster))
    killer.join()
    assert killed
    assert (stats.got + stats.there, stats.missing, stats.failures()) == (58, 2, 0)
    server.tricks.clear()
    fetched(server, tmp_path / "here", names)
    there = lines(tmp_path / "there")
    for name, data in lines(tmp_path / "here").items():  # a digest may be there twice
        assert set(there[name]) == set(data) if name.endswith(".csv") else there[name] == data
    told = [line for line in capsys.readouterr().err.splitlines() if "made again elsewhere" in line]
    assert len(told) == 1
    assert told[0].startswith("photos from ")


def photo_workers():
    """The processes of this test's cluster that fetch photos."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::PhotoWorker.make"):
                found.append(pid)
    return found


def test_a_wrong_address_of_photos_is_told_once_and_ends_it(cluster, photos, tmp_path, monkeypatch):
    server, _ = photos
    monkeypatch.setattr(node_photos, "FEWEST", 200)
    many = [f"{i % 10:02x}{i:014x}" for i in range(2000)]
    server.files.clear()
    stats = fetched(server, tmp_path / "there", many, on_nodes(cluster))
    assert stats.stopped.endswith(": stopped after 200 photos in a row that are not there (HTTP 404)")
    assert (stats.got, stats.missing) == (0, 0)
    assert stats.failures() == len(server.seen) <= 800  # two workers, a piece at work and the next one
    assert not (tmp_path / "there/missing.csv").exists()


def test_kit_download_lets_the_nodes_fetch(cluster, kit, published, options, tmp_path, monkeypatch):
    """By the setting alone; what fails there is listed here, and the next call gets it."""
    monkeypatch.setattr(node_photos, "FEWEST", 20)
    kit("download", "annotations", *options)
    ray_settings = [word for setting in by_ray(cluster) for word in ("--set", setting)]
    words = ("download", "photos", "--split", "train", "--all", *options, *ray_settings)
    path = next(path for path in published.files if path.startswith("/train/"))
    published.tricks[path] = ["status 500"] * 2
    code, out, err = kit(*words)
    assert (code, out) == (1, "photos train: 149 got, 0 there, 0 missing, 1 failed\n")
    assert f"not got: 1 photos of train ({Path(path).stem} the first): HTTP 500" in err
    assert re.search(r"train: photos came: \d+ by \S+ \w{8}[,\n]", err)
    code, out, _ = kit(*words)
    assert (code, out) == (0, "photos train: 1 got, 149 there, 0 missing, 0 failed\n")


@pytest.fixture
def short():
    """A folder with a path so short that Ray's sockets can lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_ctrl_c_leaves_no_process_of_a_cluster_of_this_machine(toy, short):
    run = toy("run", "engine.kind=ray", pause=30)
    run.write_config()
    words = [
        "train",
        "all",
        "--config",
        str(run.path / "config.yaml"),
        "--run",
        str(run.path),
        "--only",
        "toy",
    ]
    environment = os.environ | {"TMPDIR": str(short)}
    call = [sys.executable, "-m", "kit", *words]
    kit = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment)
    wait_for(lambda: _of_cluster(short) or kit.poll() is not None, 120)
    time.sleep(1)
    there = _of_cluster(short)
    assert there
    kit.send_signal(signal.SIGINT)
    _, err = kit.communicate(timeout=60)
    assert kit.returncode == 130
    assert err.splitlines()[-1].startswith("kit: stopped by Ctrl-C")
    wait_for(lambda: not any(map(is_alive, there)) and not _of_cluster(short), 30)
    assert not list(short.glob("kit-ray-*"))


@pytest.fixture
def two_networks():
    """Two network namespaces with a cable between them, 10.77.0.1 and 10.77.0.2: what runs a command in each."""
    ip, names = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), []
    if ip is None:
        pytest.skip("there is no `ip` command")
    try:
        for number in (1, 2):
            names.append(f"kit-{os.getpid()}-{number}")
            subprocess.run([ip, "netns", "add", names[-1]], check=True, capture_output=True)
        cable = ["link", "add", "kit0", "netns", names[0], "type", "veth"]
        subprocess.run(
            [ip, *cable, "peer", "name", "kit0", "netns", names[1]], check=True, capture_output=True
        )
        for number, name in enumerate(names, 1):
            for words in (
                f"addr add 10.77.0.{number}/24 dev kit0",
                "link set kit0 up",
                "link set lo up",
            ):
                subprocess.run([ip, "-n", name, *words.split()], check=True, capture_output=True)
        yield [[ip, "netns", "exec", name] for name in names]
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        for name in names:
            subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


def test_nodes_of_two_networks_give_the_same_bytes(two_networks, toy, short):
    """A head and a node that see each other over their cable alone; the command is given beside the head."""
    here, there = toy("here"), toy("there", "engine.kind=ray", "engine.address=10.77.0.1:6379", pause=0.5)
    Pipeline(here).do("toy")
    there.write_config()
    usual = ["--block", "--num-cpus", "1", "--object-store-memory", str(80 << 20), "--disable-usage-stats"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    head = ["--head", "--port", "6379", "--include-dashboard", "false", "--temp-dir", str(short)]
    nodes = []
    try:
        for network, number, words in zip(
            two_networks, (1, 2), (head, ["--address", "10.77.0.1:6379"]), strict=True
        ):
            call = [*network, sys.executable, "-m", "ray.scripts.scripts", "start", *usual, *words]
            node = subprocess.Popen(
                [*call, "--node-ip-address", f"10.77.0.{number}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env=environment,
            )
            nodes.append(node)
            assert any("Ray runtime started" in line for line in node.stdout)
        words = [str(there.path / "config.yaml"), str(there.path), "do", "toy"]
        driver = [*two_networks[0], sys.executable, "-m", "kit.pipeline.worker", *words]
        done = subprocess.run(driver, capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(30)
            node.stdout.close()
    assert files(there.path / "toy") == files(here.path / "toy")
    assert len(there.record("toy")["nodes"]) == 2
    assert sum(there.record("toy")["nodes"].values()) == SHARDS


def _of_cluster(folder):
    """The processes of a cluster whose temporary folder is below one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{folder}/kit-ray-".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "127.0.0.1:1",
            "engine.address 127.0.0.1:1: no cluster answers (Connection refused); start one with",
        ),
        ("ray://head:10001", "engine.address: string should match pattern"),
    ],
)
def test_a_wrong_address_is_one_line(kit, toy, tmp_path, address, text):
    toy("run")
    words = ["--set", f"plugins=[{tmp_path / 'plugin.py'}]", "--set", f"extra={{orders: {tmp_path}}}"]
    words += ["--set", "engine.kind=ray", "--set", f"engine.address={address}"]
    train = ["train", "all", "--only", "one", "--run", tmp_path / "run"]
    environment = {name: value for name, value in os.environ.items() if name != "KIT_TRACEBACK"}
    for command in (train, ["download", "photos", "--set", "data.source=openimages"]):
        call = [sys.executable, "-m", "kit", *map(str, [*command, *words])]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2
        assert text in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_ray_the_line_says_what_to_install(kit, toy, tmp_path, monkeypatch):
    toy("run")
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["--set", f"plugins=[{tmp_path / 'plugin.py'}]", "--set", f"extra={{orders: {tmp_path}}}"]
    code, _, err = kit(
        "train", "all", "--only", "toy", *words, "--set", "engine.kind=ray", "--run", tmp_path / "run"
    )
    assert (code, err) == (2, "kit: ray is not installed; install kit with it: pip install 'kit[ray]'\n")


def test_the_line_of_an_error_names_the_shard(kit, toy, tmp_path):
    toy("run", orders={6: "fault"})
    words = [
        "--set",
        f"plugins=[{tmp_path / 'plugin.py'}]",
        "--set",
        f"extra={{orders: {tmp_path / 'orders'}}}",
    ]
    code, _, err = kit("train", "all", "--only", "toy", *words, "--run", tmp_path / "run")
    assert (code, err.splitlines()[-1]) == (2, "kit: a bad input; mend it (in toy, shard 6)")


def test_the_cluster_file_is_one_of_rays():
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    path = Path(__file__).parents[1] / "configs/cluster/gpu.yaml"
    values = yaml.safe_load(path.read_text())
    validate_config(fillout_defaults(values))
    kinds = values["available_node_types"]
    head = kinds.pop(values["head_node_type"])
    assert "GPU" not in head["resources"]
    assert all(kind["resources"]["GPU"] for kind in kinds.values())
    values["max_worker"] = 1
    with pytest.raises(Exception, match="max_worker"):
        validate_config(values)
