"""Train every method on one task, and report validation scores, training losses and time.

`python -m benchmarks.methods --out docs/results/mrpc -- --config mrpc.yaml --trainer.max_epochs 3` runs
`main.py fit` for each configs/methods/*.yaml with the options after `--`, and writes methods.json and methods.md.
A rerun runs only what is missing. If options, configs, data, versions or the machine differ, it reports the differences
and stops. `--redraw` rewrites methods.md from methods.json.
"""

import argparse
import csv
import json
import re
import shlex
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.results import (
    MEASURED_WITH,
    METHOD,
    Result,
    add_arguments,
    content,
    group_comparable,
    load_all,
    measure_missing,
    place,
    run,
    stop_if_missing,
    table,
)
from lit_compacter.cli.configs import CONFIGS, find_config
from lit_compacter.errors import UserError
from lit_compacter.methods.titles import TITLES
from lit_compacter.runtime.environment import environment

MAIN = CONFIGS.parent / "main.py"
METHOD_FILE = "methods/NAME.yaml"  # in the command that is shown
TRAINED = re.compile(r"([\d,]+) of \S+ M parameters trainable \(([\d.]+) %\)")  # `summaries.headline`
FILES = ("model.model_name", "data.data_dir", "data.train_file", "data.validation_file")  # options that name files


def fit(name: str, options: list[str], own: list[str]) -> Result:
    """One run: final metrics, trainable parameters, and the mean training loss of its first and last tenth.

    Args:
        name: The method.
        options: Options of main.py fit, for all methods.
        own: Options for this method only.
    """
    with tempfile.TemporaryDirectory() as root:
        started = time.perf_counter()
        fixed = [f"--trainer.default_root_dir={root}", "--run_name=run", "--trainer.log_every_n_steps=1"]
        printed = run(str(MAIN), "fit", *with_method(f"methods/{name}.yaml", options), *own, *fixed)
        seconds = time.perf_counter() - started
        folder = Path(root) / "run"
        metrics = json.loads((folder / "metrics.json").read_text())
        with next(folder.glob("logs/fit/csv/version_0/metrics.csv")).open(newline="") as file:
            losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]
    tenth = max(1, len(losses) // 10)
    first, last = (round(sum(part) / tenth, 4) for part in (losses[:tenth], losses[-tenth:]))
    result = {"first_loss": first, "last_loss": last, "seconds": round(seconds), "command": command(options)}
    if found := TRAINED.search(printed):
        result |= {"trained": int(found[1].replace(",", "")), "percent": float(found[2])}
    return metrics | result


def command(options: list[str]) -> str:
    """The command line of a run, with NAME for the method."""
    return shlex.join(["python", "main.py", "fit", *with_method(METHOD_FILE, options)])


def with_method(file: str, options: list[str]) -> list[str]:
    """Insert the method's file after the config files, which it overrides, and before options that override it."""
    configs = [i for i, option in enumerate(options) if option.partition("=")[0] in ("-c", "--config")]
    end = configs[-1] + (1 if "=" in options[configs[-1]] else 2) if configs else 0
    return [*options[:end], "--config", file, *options[end:]]


def measured_with(name: str, options: list[str], own: list[str]) -> dict[str, Any]:
    """What the result of a method depends on: options, what the configs and other files hold, versions and machine."""
    given = words(options)
    named = [value for key, _, value in (item.partition(" ") for item in given) if key in ("-c", "--config")]
    configs = {file: _read(file) for file in ("defaults.yaml", *named)}
    method = _read(f"methods/{name}.yaml")
    values: dict[str, Any] = {}
    for config in (*configs.values(), method):
        values |= {f"{section}.{key}": v for section in ("model", "data") for key, v in config.get(section, {}).items()}
    values |= {key.removeprefix("--"): v for key, _, v in (item.partition(" ") for item in (*given, *words(own)))}
    files = {key: content(str(values[key])) for key in FILES if values.get(key) is not None}
    method_part = {"options": words(own), "config": method}
    return {"options": given, METHOD: method_part, "configs": configs, "content": files} | environment()


def words(options: list[str]) -> list[str]:
    """Normalize the options to `--name value`, one entry per option."""
    entries: list[str] = []
    for word in options:
        if word.startswith("--") or word.partition("=")[0] == "-c":
            entries.append(word.replace("=", " ", 1))
        elif entries:
            entries[-1] += f" {word}"
        else:
            entries.append(word)
    return entries


def _read(file: str) -> dict[str, Any]:
    return yaml.safe_load(Path(find_config(file)).read_text()) or {}


def markdown(results: Mapping[str, Result]) -> str:
    """One table per measurement setup, with its command; sorted by score, then by size."""
    return "\n".join(_section(group) for group in group_comparable(results))


def _section(group: Mapping[str, Result]) -> str:
    def rank(item: tuple[str, Result]) -> tuple[float, float]:
        return -round(item[1].get("val/score", -1), 4), item[1].get("trained", 0)

    names = sorted({key for result in group.values() for key in result if key.startswith("val/")}, key=_order)
    columns = {"percent": ("trained, %", ".3f")}
    columns |= {name: (f"{name.removeprefix('val/').replace('_', ' ').replace('f1', 'F1')}, %", "%") for name in names}
    columns |= {f"{part}_loss": (f"{part} loss", "#.3g") for part in ("first", "last")} | {"seconds": ("time, s", ",")}
    rows = [
        [TITLES.get(name, name), *(_cell(result.get(key), form) for key, (_, form) in columns.items())]
        for name, result in sorted(group.items(), key=rank)
    ]
    first = next(iter(group.values()))
    header = ["method", *(title for title, _ in columns.values())]
    own = [(name, result[MEASURED_WITH][METHOD]["options"]) for name, result in group.items()]
    notes = [
        f"{TITLES.get(name, name)} with {', '.join(f'`{word}`' for word in given)}" for name, given in own if given
    ]
    note = f"\n{'; '.join(notes)}.\n" if notes else ""
    return f"    {first['command']}\n\n{place(first)}{table(header, rows)}{note}"


def _order(name: str) -> tuple[int, str]:
    """Sort key: the task's metrics first, then the values derived from them."""
    last = ("val/score", "val/best_score", "val/invalid")
    return (last.index(name) + 1 if name in last else 0), name


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" if form == "%" else f"{value:{form}}".rstrip(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument(
        "--own",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "OPTIONS"),
        help="options for one method only, such as phm_adapter '--model.method.phm_dim 8'",
    )
    parser.add_argument("options", nargs="*", help="options of main.py fit for all methods, after --")
    arguments = parser.parse_args()
    own = {name: shlex.split(given) for name, given in arguments.own}
    path, options, names = arguments.out / "methods.json", arguments.options, arguments.methods
    if arguments.redraw:
        results, names = load_all(path), []
    elif options:
        try:
            wanted = {name: measured_with(name, options, own.get(name, [])) for name in names}
        except UserError as error:
            parser.error(str(error))
        results = measure_missing(path, wanted, lambda name: fit(name, options, own.get(name, [])))
    else:
        parser.error("give options of main.py fit, for example: -- --config mrpc.yaml")
    (arguments.out / "methods.md").write_text(markdown(results))
    print(markdown(results))
    stop_if_missing(results, names)


if __name__ == "__main__":
    main()
