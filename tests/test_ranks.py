"""Stages that several processes of this machine do together: stages of a plugin, of real processes."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from kit.base.errors import KitError
from kit.base.stopping import descendants, is_alive
from kit.config import load_config
from kit.detector.process_group import is_distributed
from kit.pipeline.ranks import ranks_kept
from kit.pipeline.run import Run
from kit.session import open_run

PLUGIN = """
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import distributed, nn

from kit.base.errors import KitError
from kit.detector.process_group import is_main_process, process_count
from kit.detector.sync_batch_norm import average_statistics, synchronise_batch_norms
from kit.pipeline.stage import Stage
from kit.pipeline.stage_registry import register_stages


def batch(rank):
    torch.manual_seed(rank)
    return torch.randn(2 + rank, 3, 4, 5 + rank) * (1 + rank) + rank


def normalise(context):
    rank = distributed.get_rank()
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    weight = model[0].weight
    synchronise_batch_norms(model)
    assert model[0].weight is weight
    x = batch(rank).requires_grad_()
    y = model(x)
    (y**2).sum().backward()
    state = {"y": y.detach(), "x": x.grad, "weight": weight.grad, **model.state_dict(prefix="bn.")}
    torch.save({**state, "process": os.getpid()}, context.config.run / f"{context.stage.name}-{rank}.pth")
    apart = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3).eval(), nn.BatchNorm2d(3, track_running_stats=False))
    apart[1].running_mean.fill_(rank)
    apart(batch(rank))
    average_statistics(apart)
    torch.save(apart.state_dict(), context.config.run / f"{context.stage.name}-apart-{rank}.pth")
    model.eval()
    model(x)  # alone, as the first one does when it validates
    distributed.barrier()
    return {"processes": process_count()}


def shares(context):
    assert os.path.exists(os.environ["KIT_MEETING"])  # which NCCL asks until its group has ended
    own = f"{distributed.get_rank()} of {distributed.get_world_size()} over {distributed.get_backend()}"
    every = [None, None]
    distributed.all_gather_object(every, f"{own}, GPU {os.environ['LOCAL_RANK']}, seed {context.config.seed}")
    return {"processes": every}


def fails(context):
    distributed.barrier()
    if is_main_process():
        distributed.barrier()  # which the other does not reach
    else:
        raise KitError("one of the images: cannot be read", "look at it")


def killed(context):
    if is_main_process():
        time.sleep(100)  # it does not look at the other
    os.kill(os.getpid(), signal.SIGKILL)


def first_fails(context):
    if is_main_process():
        raise KitError("the first one: cannot go on")
    distributed.barrier()


def hangs(context):
    Path(context.config.run, f"at-work-{distributed.get_rank()}").write_text(str(os.getpid()))
    if is_main_process():
        time.sleep(100)
    distributed.barrier()


if "KIT_TEST_GPUS" in os.environ and "rank_worker" in sys.argv[0]:
    torch.cuda.is_available, torch.cuda.set_device = lambda: True, lambda _: None
    torch.cuda.device_count = lambda: int(os.environ["KIT_TEST_GPUS"])


@register_stages
def stages(config):
    own = config.detector
    yield Stage("shares", shares, distributed=True, processes=own.processes, device=own.device)
    for name, work in {
        "one": normalise,
        "two": normalise,
        "fails": fails,
        "killed": killed,
        "first-fails": first_fails,
        "hangs": hangs,
    }.items():
        yield Stage(name, work, distributed=True, processes=2)
"""


@pytest.fixture
def words(tmp_path):
    """Of a command, for a run that has the plugin's stages."""
    (tmp_path / "together.py").write_text(PLUGIN)
    return ["--set", f"plugins=[{tmp_path / 'together.py'}]", "--run", tmp_path / "run"]


def test_two_processes_normalise_as_one_of_both_batches_and_do_the_next_stage_too(words, tmp_path):
    """Independent truth: torch's own BatchNorm2d on the two batches as one."""
    run = open_run("mini", overrides=[words[1], "detector.device=cpu", "threads=1"], folder=tmp_path / "run")
    with ranks_kept():
        assert run.make("one", "two")["two"]["metrics"] == {"processes": 2}
    assert not is_distributed()
    assert not torch.distributed.is_initialized()
    saved = [
        [torch.load(tmp_path / "run" / f"{name}-{rank}.pth", weights_only=True) for rank in range(2)]
        for name in ("one", "two")
    ]
    assert saved[0][0]["process"] == saved[1][0]["process"] == os.getpid()
    assert saved[0][1]["process"] == saved[1][1]["process"] != os.getpid()
    assert not is_alive(saved[0][1]["process"])
    model, parts = nn.BatchNorm2d(3), []
    with torch.no_grad():
        model.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    for rank in range(2):
        torch.manual_seed(rank)
        parts.append(torch.randn(2 + rank, 3, 4, 5 + rank) * (1 + rank) + rank)
    inputs = [part.transpose(0, 1).reshape(3, -1) for part in parts]
    x = torch.cat(inputs, 1)[None, :, :, None].requires_grad_()
    y = model(x).relu()
    (y**2).sum().backward()
    cut = inputs[0].shape[1]
    for rank, (whole_y, whole_x) in enumerate(zip(halves(y, cut), halves(x.grad, cut), strict=True)):
        own = saved[0][rank]
        torch.testing.assert_close(flat(own["y"]), whole_y)
        torch.testing.assert_close(flat(own["x"]), whole_x)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(own[f"bn.0.{name}"], model.state_dict()[name])
        apart = torch.load(tmp_path / "run" / f"one-apart-{rank}.pth", weights_only=True)
        for name in ("running_mean", "running_var"):  # the mean of what each has of its own batch
            alone = [nn.BatchNorm2d(3) for _ in parts]
            for norm, part in zip(alone, parts, strict=True):
                norm(part)
            wanted = sum(getattr(norm, name) for norm in alone) / 2
            torch.testing.assert_close(apart[f"0.{name}"], wanted)
        assert torch.equal(apart["1.running_mean"], torch.full((3,), float(rank)))  # it learns nothing
    total = sum(own["weight"] for own in saved[0])
    torch.testing.assert_close(total, model.weight.grad)


def test_two_processes_share_the_one_gpu_of_a_machine(words, tmp_path, monkeypatch):
    """Simulated: torch says that there is one, and nothing is computed on it. Another kit is at the run, too."""
    monkeypatch.setenv("KIT_TEST_GPUS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "meetings"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "meetings"))
    (tmp_path / "meetings").mkdir()
    for name, said in {"is_available": True, "device_count": 1, "set_device": None}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, said=said: said)
    run = open_run("mini", overrides=[words[1], "detector.processes=2"], folder=tmp_path / "run")
    other = Run(load_config("mini", [words[1], "seed=2"]), run.path)
    monkeypatch.setattr(Run, "write_config", partial(Run.write_config, other))
    assert (run.config.detector.device, run.config.detector.processes) == ("auto", 2)
    processes = run.make("shares")["shares"]["metrics"]["processes"]
    assert processes == ["0 of 2 over gloo, GPU 0, seed 0", "1 of 2 over gloo, GPU 0, seed 0"]
    assert load_config(str(run.path / "config.yaml")).seed == 2
    assert not any((tmp_path / "meetings").iterdir())


def flat(x):
    return x.transpose(0, 1).reshape(3, -1)


def halves(x, cut):
    whole = x.detach()[0, :, :, 0]
    return whole[:, :cut], whole[:, cut:]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("fails", "fails: process 2 of 2 failed: one of the images: cannot be read; look at it (see {log})"),
        ("first-fails", "the first one: cannot go on"),
    ],
)
def test_where_one_fails_all_end_with_one_line(stage, said, words, tmp_path, kit):
    code, out, err = kit("train", "all", "--only", stage, *words, "--set", "detector.device=cpu")
    log = tmp_path / "run" / "logs" / f"{stage}.2.txt"
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("kit: ")] == [f"kit: {said.format(log=log)}"]
    assert not is_distributed()
    assert not [pid for pid in descendants(os.getpid()) if "rank_worker" in command(pid)]


def test_where_one_cannot_be_started_nobody_waits_for_it(words, tmp_path, monkeypatch):
    def start(*_):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("kit.pipeline.crew.Crew.start", start)
    run = open_run("mini", overrides=[words[1], "detector.device=cpu"], folder=tmp_path / "run")
    with pytest.raises(KitError, match=r"one: process 2 of 2 failed: .*Resource temporarily unavailable"):
        run.make("one")


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def started(words, *stages):
    return subprocess.Popen(
        [sys.executable, "-m", "kit", "train", "all", "--set", "detector.device=cpu", *map(str, words)]
        + [word for stage in stages for word in ("--only", stage)],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_is_killed_ends_the_others_wherever_they_are(words, tmp_path):
    """The first one sleeps on, as one that waits in a library's code would."""
    process = started([*words, "--jobs", "2"], "killed")
    err = process.communicate(timeout=100)[1]
    assert process.returncode == 2
    lines = [line for line in err.splitlines() if line.startswith("kit: killed failed")]
    assert len(lines) == 1, err
    assert "killed: process 2 of 2 failed: killed (out of memory?) (see " in lines[0]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_what_is_stopped(signum, words, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "meetings"))
    (tmp_path / "meetings").mkdir()
    process = started(words, "hangs")
    files = [tmp_path / "run" / f"at-work-{rank}" for rank in range(2)]
    wait_until(lambda: all(file.exists() and file.read_text() for file in files), 100)
    pids = [int(file.read_text()) for file in files]
    assert pids[0] == process.pid
    process.send_signal(signum)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == (130 if signum == signal.SIGINT else -signum)
    if signum == signal.SIGINT:
        assert [line for line in err.splitlines() if line.startswith("kit: ")] == [
            f"kit: stopped by Ctrl-C; stage hangs goes on from what it has in {tmp_path / 'run'}"
        ]
    wait_until(lambda: not is_alive(pids[1]), 20)
    assert not any((tmp_path / "meetings").iterdir())


def wait_until(happened, seconds):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
