import pytest
from kit.jobs import Job, run_jobs

from kit.base.errors import KitError


def test_jobs_run_and_log(tmp_path):
    jobs = [Job(f"job{i}", [["--version"], ["classmap", "coco"]], tmp_path / f"{i}.txt") for i in range(3)]
    run_jobs(jobs, 2, "work")
    for i in range(3):
        text = (tmp_path / f"{i}.txt").read_text()
        assert text.startswith("kit ")
        assert "44 of 57 classes matched" in text


def test_a_failure_is_told_after_the_others_have_ended(tmp_path):
    jobs = [
        Job("bad", [["classmap", str(tmp_path / "none")], ["--version"]], tmp_path / "bad.txt"),
        Job("good", [["--version"]], tmp_path / "good.txt"),
    ]
    with pytest.raises(KitError, match=r"bad failed: .*none: no such file.*see .*bad.txt"):
        run_jobs(jobs, 1, "work")
    assert "kit " in (tmp_path / "good.txt").read_text()
    assert (tmp_path / "bad.txt").read_text().count("\n") == 1  # the second command was not run


def test_no_jobs(capsys):
    run_jobs([], 2, "work")
    assert capsys.readouterr() == ("", "")
