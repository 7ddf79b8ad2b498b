"""Every start has a folder, and takes from it only what it has brought."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from lit_compacter.errors import UserError
from lit_compacter.results import run_dir as run_folder
from lit_compacter.results.metrics_file import Evaluation, record_result
from lit_compacter.results.run_dir import RunDir

T = TypeVar("T")
THREADS = 8

pytestmark = pytest.mark.usefixtures("_project_root")


class Noon(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "Noon":
        return cls(2021, 6, 8, 12)


def fail(folder: RunDir) -> None:
    with pytest.raises(KeyError), folder:
        raise KeyError


def at_once(start: Callable[[], T]) -> list[T]:
    """What many threads get that start together."""
    together = threading.Barrier(THREADS)

    def run() -> T:
        together.wait()
        return start()

    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(THREADS)]]


def test_starts_in_one_second_have_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "datetime", Noon)
    names = at_once(lambda: RunDir(tmp_path, None, "rte", trains=False).path.name)
    first = "2021-06-08_12-00-00-rte"
    assert sorted(names) == sorted([first, *(f"{first}-{i}" for i in range(2, THREADS + 1))])


def test_one_of_many_trains(tmp_path: Path) -> None:
    def start() -> RunDir | UserError:
        try:
            return RunDir(tmp_path, "run", "rte", trains=True)
        except UserError as error:
            return error

    assert sum(isinstance(started, RunDir) for started in at_once(start)) == 1


def test_a_start_that_fails_leaves_what_another_has_written(tmp_path: Path) -> None:
    one, other = (RunDir(tmp_path, "run", "rte", trains=False) for _ in range(2))
    other.begin("config")
    fail(one)
    assert (tmp_path / "run/config.yaml").read_text() == "config"


def test_a_start_that_fails_first_is_no_matter(tmp_path: Path) -> None:
    one, other = (RunDir(tmp_path, "run", "rte", trains=False) for _ in range(2))
    fail(one)
    assert not (tmp_path / "run").exists()
    other.begin("config")
    assert (tmp_path / "run/config.yaml").read_text() == "config"


def test_what_runs_leave_that_begin_at_once_is_all_kept(tmp_path: Path) -> None:
    """Configs, logs, and the logs of those that began where one fails before."""

    def start() -> RunDir:
        folder = RunDir(tmp_path, "run", "rte", trains=False)
        folder.make_loggers("test")
        folder.begin(str(threading.get_ident()))
        return folder

    began = at_once(start)
    configs = {path.read_text() for path in (tmp_path / "run").glob("config*.yaml")}
    assert len(configs) == THREADS
    assert len({log for folder in began for log in folder.log_dirs}) == 2 * THREADS
    failed = RunDir(tmp_path, "run", "rte", trains=False)
    failed.make_loggers("test")
    fail(failed)
    assert {log for folder in began for log in folder.log_dirs} == set((tmp_path / "run").glob("logs/test/*/*"))


EVALUATION: Evaluation = {"verb": "test", "task": "rte", "split": "test", "checkpoint": "best.ckpt", "data": {}}


@pytest.mark.parametrize("content", ["", "{", "[]x", "null", "3"])
def test_damaged_metrics_are_put_aside(content: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.warns(UserWarning, match="metrics.json is damaged: renamed to metrics-2.json"):
        record_result(tmp_path, EVALUATION, {"test/score": 0.5})
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {"test/score": 0.5}
    assert (tmp_path / "metrics-2.json").read_text() == content


def test_logs_of_a_start_that_fails_leave_nothing(tmp_path: Path) -> None:
    RunDir(tmp_path, "run", "rte", trains=False).begin("config")
    failed = RunDir(tmp_path, "run", "rte", trains=False)
    failed.make_loggers("test")
    fail(failed)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", ".results.lock"}
