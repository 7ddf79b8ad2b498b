"""Every start has a folder, and takes from it only what it has brought."""

from datetime import datetime
from pathlib import Path

import pytest

from lit_compacter import run_folder
from lit_compacter.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("_project_root")


class Noon(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "Noon":
        return cls(2021, 6, 8, 12)


def fail(folder: RunFolder) -> None:
    with pytest.raises(KeyError), folder:
        raise KeyError


def test_two_starts_in_one_second_have_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "datetime", Noon)
    names = [RunFolder(tmp_path, None, "rte", trains=False).path.name for _ in range(3)]
    assert names == ["2021-06-08_12-00-00-rte", "2021-06-08_12-00-00-rte-2", "2021-06-08_12-00-00-rte-3"]


def test_a_start_that_fails_leaves_what_another_has_written(tmp_path: Path) -> None:
    one, other = (RunFolder(tmp_path, "run", "rte", trains=False) for _ in range(2))
    other.begin("config")
    fail(one)
    assert (tmp_path / "run/config.yaml").read_text() == "config"


def test_a_start_that_fails_first_is_no_matter(tmp_path: Path) -> None:
    one, other = (RunFolder(tmp_path, "run", "rte", trains=False) for _ in range(2))
    fail(one)
    assert not (tmp_path / "run").exists()
    other.begin("config")
    assert (tmp_path / "run/config.yaml").read_text() == "config"


def test_configs_of_runs_that_begin_at_once_are_all_kept(tmp_path: Path) -> None:
    for config in ("one", "two"):
        RunFolder(tmp_path, "run", "rte", trains=False).begin(config)
    assert [(tmp_path / "run" / name).read_text() for name in ("config.yaml", "config-2.yaml")] == ["one", "two"]
