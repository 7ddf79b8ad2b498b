"""The cells of a report, read from run folders: their values come from config.yaml."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_compacter.errors import UserError
from lit_compacter.reports.cells import CellResult, State, StudyResults, Value, plain_values, read_metrics
from lit_compacter.results.records import read_warnings
from lit_compacter.studies.study import METHOD, SEED, TASK
from lit_compacter.tasks import TASKS
from lit_compacter.utils.run_files import BEST_SCORE, CONFIG, TEST_SCORE

SECTIONS = ("data", "model", "trainer")
# The task is an axis; the others are places, and decide nothing about the results.
OF_THE_RUN = ("trainer.default_root_dir", "trainer.logger", "data.task", "data.cache_dir")
METHOD_CLASS = "model.method"

Method = Mapping[str, Any]  # class_path and init_args, as in configs/methods/


def read_runs(paths: Sequence[Path], methods: Mapping[str, Method]) -> StudyResults:
    """Read runs as the cells of a study.

    An option is an axis if it differs between runs of the same method and task: a method's own recipe is none.

    Args:
        paths: Run folders, or folders that contain some.
        methods: Name → what configs/methods/ says about it.

    Raises:
        UserError: A folder does not exist or contains no run, or a config cannot be read.
    """
    folders = list({folder.resolve(): folder for path in paths for folder in find_runs(path)}.values())
    names = _short_names(folders)
    configs = [_read_config(folder) for folder in folders]
    main = [_main_values(config, methods) for config in configs]
    options = [_options(config) for config in configs]
    axes = _differing(main, options)
    cells = [
        _make_cell(folder, name, values | {axis: own[axis] for axis in axes if axis in own})
        for folder, name, values, own in zip(folders, names, main, options, strict=True)
    ]
    title = paths[0].resolve().name if len(paths) == 1 else "runs"
    return StudyResults(title, sorted(cells, key=_order))


def _order(cell: CellResult) -> tuple[Any, ...]:
    """Methods by name, tasks as in their benchmark, then runs by name."""
    known, task = list(TASKS), str(cell.values[TASK])
    return str(cell.values[METHOD]), known.index(task) if task in known else len(known), task, cell.name


def find_runs(path: Path) -> list[Path]:
    """The run folder `path`, or all run folders in it.

    Raises:
        UserError: There is no such folder, or no run in it.
    """
    if not path.is_dir():
        raise UserError(f"no folder {path}; expected the folder of a study, run folders, or a folder of runs")
    if found := list(_runs_in(path)):
        return found
    raise UserError(
        f"{path} is neither a study (it has no cells.json) nor a run (no {CONFIG}), and there are no runs in it"
    )


def _runs_in(folder: Path) -> Iterator[Path]:
    """The run folders at and below a folder. A run has none in it: W&B writes a config.yaml of its own there."""
    if (folder / CONFIG).exists():
        yield folder
        return
    for inner in sorted(folder.iterdir()):
        if inner.is_dir():
            yield from _runs_in(inner)


def method_name(given: Mapping[str, Any], methods: Mapping[str, Method]) -> str:
    """The name in configs/methods/ that describes a run's method most closely, or else its class.

    Args:
        given: The run's class_path and init_args.
        methods: Name → class_path and the init_args that make it that method.
    """
    own, options = str(given["class_path"]).rpartition(".")[2], given.get("init_args") or {}
    matching = [
        (len(init_args), name)
        for name, method in methods.items()
        if method["class_path"] == own
        and (init_args := method.get("init_args", {})).items() <= {k: options.get(k) for k in init_args}.items()
    ]
    return max(matching, default=(0, own))[1]


def _short_names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with those of their parents where two are equal."""
    depth = 1
    while True:
        names = ["/".join(folder.resolve().parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if config["model"]["method"]["class_path"] and config["data"]["task"]:
            return dict(config)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not the config of a run: {' '.join(str(error).split())}") from error
    raise UserError(f"{path} is not the config of a run: it names no method or task")


def _main_values(config: Mapping[str, Any], methods: Mapping[str, Method]) -> dict[str, Value]:
    seed = config.get("seed_everything")
    return {METHOD: method_name(config["model"]["method"], methods), TASK: config["data"]["task"], SEED: seed}


def _options(config: Mapping[str, Any]) -> dict[str, Value]:
    flat: dict[str, Any] = {}
    for section in SECTIONS:
        flat |= {f"{section}.{name}": value for name, value in (config.get(section) or {}).items()}
    method = flat.pop(METHOD_CLASS)
    flat |= {f"{METHOD_CLASS}.{name}": value for name, value in (method.get("init_args") or {}).items()}
    return plain_values({name: value for name, value in flat.items() if name not in OF_THE_RUN})


def _differing(main: Sequence[Mapping[str, Value]], options: Sequence[Mapping[str, Value]]) -> list[str]:
    """The options that differ between runs of the same method and task."""
    alike: dict[tuple[Value, Value], list[Mapping[str, Value]]] = defaultdict(list)
    for values, own in zip(main, options, strict=True):
        alike[values[METHOD], values[TASK]].append(own)
    names = dict.fromkeys(name for own in options for name in own)
    return [name for name in names if any(len({own.get(name) for own in group}) > 1 for group in alike.values())]


def _make_cell(folder: Path, name: str, values: Mapping[str, Value]) -> CellResult:
    metrics, resources = read_metrics(folder)
    state: State = "finished" if TEST_SCORE in metrics else "validated" if BEST_SCORE in metrics else "started"
    return CellResult(
        name=name,
        values=values,
        search={},
        commands=_commands(folder),
        folder=folder,
        state=state,
        metrics=metrics,
        resources=resources,
        warnings=read_warnings(folder),
    )


def _commands(folder: Path) -> list[list[str]]:
    """How to repeat a run from its config."""
    config = ["--config", str(folder / CONFIG), "--run_name", f"{folder.resolve().name}-again"]
    return [["fit", *config], ["test", *config, "--ckpt_path", "best"]]
