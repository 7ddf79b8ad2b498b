"""The hub, by its own client on a local server: downloads, caches, revisions, access, faults, and no network at all."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from lit_compacter.checkpoints.io import read_checkpoint
from tests.command_line import QUICK, run_cli
from tests.conftest import ROOT, TINY
from tests.hub_server import TOKEN, Hub, Revision, serve
from tests.official_data import BENCHMARKS

MODEL, DATA = "models/google-t5/t5-base", "datasets/nyu-mll/glue"
NOWHERE = "http://127.0.0.1:1"  # where connections are refused
RTE = ["--config=rte.yaml", "--data.max_source_length=32"]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with the demo's model as T5-base, and a tiny GLUE."""
    BENCHMARKS["rte"].write_hub(tmp_path / "glue")
    with serve() as hub:
        hub.add(MODEL, TINY)
        hub.add(DATA, tmp_path / "glue")
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(home: Path, endpoint: str, **more: str) -> dict[str, str]:
    """With an empty cache in `home`, and nothing of the machine's own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return ours | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | more


def cli(verb: str, env: dict[str, str], *options: str) -> str:
    """Run a verb that succeeds; what it has printed."""
    result = run_cli(verb, *RTE, *options, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def failure(verb: str, env: dict[str, str], *options: str) -> str:
    """Run a verb that fails; its one line."""
    result = run_cli(verb, *RTE, *options, env=env)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


def find(env: dict[str, str], name: str = "google-t5/t5-base", revision: str | None = None) -> str:
    """The line that an attempt to load a model's files ends in."""
    code = f"""
from lit_compacter.errors import UserError
from lit_compacter.hub.repository import find_repository
try:
    print(find_repository("model", {name!r}, {revision!r}).download([["*"]]))
except UserError as error:
    print("error:", error)
"""
    process = [sys.executable, "-c", code]
    result = subprocess.run(process, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=True)
    return (result.stderr + result.stdout).strip()


def changed(revision: Revision, folder: Path) -> Revision:
    """The same model with other weights."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(revision.files["model.safetensors"])
    weights = load_file(folder / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return Revision(revision.files | {"model.safetensors": (folder / "model.safetensors").read_bytes()})


def test_commits_are_recorded_and_loaded_again(hub: Hub, home: Path, tmp_path: Path) -> None:
    env, runs = environment(home, hub.url), f"--trainer.default_root_dir={tmp_path / 'runs'}"
    model, data = hub.repositories[MODEL]["main"], hub.repositories[DATA]["main"]
    cli("fit", env, *QUICK, runs, "--run_name=first")
    assert hub.downloads(".safetensors") == 1 and hub.downloads(".parquet") == 3

    best = tmp_path / "runs/first/checkpoints/best.ckpt"
    config = yaml.safe_load((tmp_path / "runs/first/config.yaml").read_text())
    assert (config["model"]["revision"], config["data"]["revision"]) == (model.commit, data.commit)
    metadata = read_checkpoint(best)["lit_compacter"]
    assert (metadata["model_commit"], metadata["data_commit"]) == (model.commit, data.commit)

    hub.repositories[MODEL] = {"main": changed(model, tmp_path / "other"), "v1": model}
    hub.repositories[DATA] = {"main": Revision(data.files | {"README.md": b"new"}), "v1": data}
    hub.requests.clear()
    told = cli("test", env, *QUICK, runs, "--run_name=first", f"--ckpt_path={best}")
    told += cli("test", environment(home, NOWHERE), *QUICK, runs, "--run_name=first", f"--ckpt_path={best}")
    assert not hub.requests and "warning: the connection" not in told, "both commits are in the cache"
    assert "evaluations" not in json.loads((tmp_path / "runs/first/metrics.json").read_text())

    last = ["--run_name=first", "--ckpt_path=last", "--trainer.max_epochs=2"]
    line = failure("fit", env, *QUICK, runs, *last)
    assert f"the model on the hub is another one at this commit; give --model.revision {model.commit}" in line
    told = cli("fit", env, *QUICK, runs, *last, "--model.revision=v1")
    assert f"the data set is at another commit ({hub.repositories[DATA]['main'].commit})" in told

    # The commits in a run's own config are of its model and data set, not of others.
    hub.repositories[MODEL.replace("t5-base", "t5-small")] = {"main": model}
    config = f"--config={tmp_path / 'runs/first/config.yaml'}"
    told = cli("fit", env, config, *QUICK, runs, "--model.model_name=google-t5/t5-small")
    assert f"looking up model google-t5/t5-small (main) on {hub.url}" in told and "looking up dataset" not in told


def test_without_a_network(hub: Hub, home: Path, tmp_path: Path) -> None:
    fit = [*QUICK, f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    line = failure("fit", environment(home, NOWHERE), *fit)
    assert line.startswith(f"error: cannot load the model google-t5/t5-base: the connection to {NOWHERE} has failed")
    assert all(
        name in line for name in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE=1", "download", "--model.model_name")
    )

    downloaded = cli("download", environment(home, hub.url))
    assert "model google-t5/t5-base: " in downloaded and "data set: " in downloaded
    assert hub.downloads(".safetensors") == 1 and hub.downloads(".parquet") == 3
    hub.repositories.clear()
    assert "using" not in cli("fit", environment(home, NOWHERE, HF_HUB_OFFLINE="1"), *fit)
    warm = cli("fit", environment(home, NOWHERE), *fit)
    assert warm.count("from the cache, commit ") == 2 and "HF_HUB_OFFLINE=1" in warm

    line = failure("show", environment(home, NOWHERE, HF_HUB_OFFLINE="1"), "--data.revision=v9")
    assert "the cache lacks it at revision 'v9'; HF_HUB_OFFLINE is set" in line


def test_weights_that_are_not_in_the_cache(hub: Hub, home: Path) -> None:
    cli("show", environment(home, hub.url))
    assert not hub.downloads(".safetensors"), "show needs the tokenizer only"
    line = failure("download", environment(home, hub.url, HF_HUB_OFFLINE="1"))
    assert "in the cache has no model.safetensors or model.safetensors.index.json or pytorch_model.bin" in line
    assert "by `download` with the same options" in line


@pytest.mark.soak
def test_a_missing_shard(hub: Hub, home: Path) -> None:
    """The rows of a split are all there, or none is used."""
    files = hub.repositories[DATA]["main"].files
    for shard in ("rte/train-00000-of-00002.parquet", "rte/train-00001-of-00002.parquet"):
        files[shard] = files["rte/train-0.parquet"]
    del files["rte/train-0.parquet"]
    env = environment(home, hub.url)
    assert "rte: 24 examples to train" in cli("show", env)
    next(home.rglob("train-00001-of-00002.parquet")).unlink()
    assert "in the cache has no rte/*, and" in failure("show", env | {"HF_HUB_OFFLINE": "1"})
    assert "rte: 24 examples to train" in cli("show", env)


def test_a_method_does_not_hide_the_model(hub: Hub, home: Path) -> None:
    """A later file with other options of the model leaves its name and revision."""
    hub.repositories[MODEL]["v1"] = hub.repositories[MODEL]["main"]
    told = cli("download", environment(home, hub.url), "--config=methods/lora.yaml", "--model.revision=v1")
    assert f"looking up model google-t5/t5-base (v1) on {hub.url}" in told


def test_access(hub: Hub, home: Path) -> None:
    hub.gated.add(MODEL)
    assert "access to it is restricted; ask for access on" in find(environment(home, hub.url))
    assert find(environment(home, hub.url, HF_TOKEN=TOKEN)).endswith(hub.repositories[MODEL]["main"].commit)
    assert "refuses the access token" in find(environment(home / "new", hub.url, HF_TOKEN="hf_wrong"))
    assert "has no model of this name, or it is private" in find(environment(home, hub.url), "nobody/nothing")
    assert "give a model's folder, --model.model_name" in find(environment(home, hub.url), "a name/with [/blanks]")
    assert "it has no revision 'v9'" in find(environment(home, hub.url, HF_TOKEN=TOKEN), revision="v9")


def test_a_busy_hub(hub: Hub, home: Path) -> None:
    hub.failures = [503] * 2
    assert find(environment(home, hub.url)).endswith(hub.repositories[MODEL]["main"].commit), "it is asked again"
    hub.failures = [429] * 3
    assert "has answered 429, too many requests; using google-t5/t5-base from the cache" in find(
        environment(home, hub.url)
    )
    hub.failures = [503] * 3
    assert "has answered 503, a fault of its own; try again later" in find(environment(home / "new", hub.url))


def test_downloads_that_break_off(hub: Hub, home: Path) -> None:
    hub.cuts = 1
    told = find(environment(home, hub.url))
    if "error" in told:  # huggingface_hub 1 resumes at the next start
        told = find(environment(home, hub.url))
    assert told.endswith(hub.repositories[MODEL]["main"].commit)
    weights = next(home.rglob("model.safetensors"))
    assert weights.read_bytes() == hub.repositories[MODEL]["main"].files["model.safetensors"]
    hub.cuts = 1000
    told = find(environment(home / "new", hub.url)).splitlines()[-1]
    assert told.startswith("error: cannot load the model google-t5/t5-base: the connection to") and "check it" in told


@pytest.mark.soak
def test_a_damaged_file(hub: Hub, home: Path) -> None:
    env = environment(home, hub.url)
    cli("download", env)
    parquet = next(home.rglob("train-0.parquet"))
    content = parquet.read_bytes()
    parquet.resolve().write_bytes(content[: len(content) // 2])
    line = failure("show", env)
    assert "train-0.parquet is not a parquet file: " in line and "are damaged, delete" in line
    shutil.rmtree(line.partition("delete ")[2].partition(" and start again")[0])
    cli("show", env)


def test_weights_as_a_pickle_are_downloaded_once(hub: Hub, home: Path, tmp_path: Path) -> None:
    files = hub.repositories[MODEL]["main"].files
    (tmp_path / "weights").write_bytes(files.pop("model.safetensors"))
    torch.save(load_file(tmp_path / "weights"), tmp_path / "pytorch_model.bin")
    files["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    cli("fit", environment(home, hub.url), *QUICK, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    assert hub.downloads("pytorch_model.bin") == 1
    assert not [request for request in hub.requests if "refs" in request], "no converted copy is looked for"


def test_two_processes_download_each_file_once(hub: Hub, home: Path, tmp_path: Path) -> None:
    processes = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    cli("fit", environment(home, hub.url), *QUICK, *processes, f"--trainer.default_root_dir={tmp_path / 'runs'}")
    assert hub.downloads(".safetensors") == 1 and hub.downloads(".parquet") == 3


def test_a_read_only_cache(hub: Hub, home: Path, tmp_path: Path) -> None:
    """As compute nodes have it."""
    in_read_only = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && "$@"']
    home.mkdir()
    if shutil.which("unshare") is None or subprocess.run([*in_read_only, home, "true"], check=False).returncode:
        pytest.skip("needs the right to mount a folder read-only")
    cli("download", environment(home, hub.url))
    fit = ["fit", *QUICK, f"--trainer.default_root_dir={tmp_path / 'runs'}"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        process = [*in_read_only, str(home), sys.executable, str(ROOT / "main.py"), *words, *RTE]
        env = environment(home, hub.url)
        return subprocess.run(process, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)

    result = run(*fit)
    assert result.returncode == 0, result.stderr
    assert "tokenized rows are kept in memory" in result.stderr and "--data.cache_dir" in result.stderr
    result = run("show", f"--data.cache_dir={tmp_path / 'tokens'}")
    assert result.returncode == 0 and "in memory" not in result.stderr, result.stderr
    assert len(list((tmp_path / "tokens").glob("*.arrow"))) == 2, "rows and tokens"

    hub.repositories[MODEL]["main"] = changed(hub.repositories[MODEL]["main"], tmp_path / "other")
    result = run("show")
    assert result.returncode == 0 and "cannot be written; using google-t5/t5-base from the cache" in result.stderr


@pytest.mark.soak
def test_packets_that_are_dropped(hub: Hub, home: Path) -> None:
    """A network namespace in which nobody answers, as behind a firewall."""
    silent = """
        ip link add here type veth peer name there && ip address add 10.9.9.1/24 dev here &&
        ip link set lo up && ip link set there up && ip link set here up &&
        ip neighbor add 10.9.9.2 lladdr 02:00:00:00:00:02 dev here && "$@"
    """
    in_silence = ["unshare", "--net", "sh", "-c", silent, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*in_silence, "true"], check=False).returncode:
        pytest.skip("needs the right to make a network namespace")
    seconds = {}
    cli("download", environment(home, hub.url))
    cases = {"answers": (home, hub.url, []), "warm": (home, "http://10.9.9.2", in_silence)}
    cases["cold"] = (home / "new", "http://10.9.9.2", in_silence)
    for case, (cache, endpoint, prefix) in cases.items():
        process = [*prefix, sys.executable, str(ROOT / "main.py"), "show", *RTE]
        start = time.monotonic()
        result = subprocess.run(
            process, cwd=ROOT, env=environment(cache, endpoint), capture_output=True, text=True, check=False
        )
        seconds[case] = time.monotonic() - start
        assert (result.returncode, "HF_HUB_OFFLINE=1" in result.stderr) == ((2 if case == "cold" else 0), bool(prefix))
    assert seconds["warm"] < seconds["answers"] + 10 and seconds["cold"] < seconds["answers"] + 12


@pytest.mark.soak
def test_a_full_disk(hub: Hub, home: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    on_small = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4k none "$0" && "$@"', str(small)]
    small.mkdir()
    if shutil.which("unshare") is None or subprocess.run([*on_small, "true"], check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    for cache, option in ((small, tmp_path / "tokens"), (home, small)):
        process = [*on_small, sys.executable, str(ROOT / "main.py"), "show", *RTE, f"--data.cache_dir={option}"]
        env = environment(cache, hub.url)
        result = subprocess.run(process, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 2 and "error: the disk is full" in result.stderr.splitlines()[-1], result.stderr
