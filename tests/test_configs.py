"""Every YAML composes, says everything, and is found."""

import dataclasses
import re
import subprocess
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lit_compacter.cli.cli import ParsingCLI
from lit_compacter.cli.configs import CONFIGS, find_config
from lit_compacter.cli.main import main
from lit_compacter.cli.request import Request, replaced_options
from lit_compacter.cli.suggestions import SYNONYMS
from lit_compacter.cli.verbs import VERBS
from lit_compacter.errors import UserError
from lit_compacter.methods import METHODS
from lit_compacter.runtime.signals import EXIT_RESUMABLE
from lit_compacter.tasks import TASKS

METHOD_FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("methods/*.yaml"))
LOGGER_FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("loggers/*.yaml"))
RECIPE_FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("recipes/*.yaml"))
JOBS = {"kubernetes.yaml", "slurm.sh"}  # what starts the program, not options of it
OTHER_FILES = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.glob("trainer/*.yaml") if p.name not in JOBS)
MULTI_NODE = yaml.safe_load((CONFIGS / "trainer/multi_node.yaml").read_text())["trainer"]


@cache
def parser() -> LightningArgumentParser:
    """The parser of fit, which takes half a second to build."""
    return ParsingCLI("fit", Request.read(["--config=rte.yaml"])).parser


def parse(*configs: str) -> dict[str, Any]:
    """The resolved config, without running anything."""
    config = parser().parse_args([word for config in configs for word in ("--config", config)])
    return yaml.safe_load(parser().dump(config))  # type: ignore[no-any-return]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_config(task: str) -> None:
    assert parse(f"{task}.yaml")["data"]["task"] == task


def test_the_papers_recipe_is_the_default() -> None:
    config = parse("rte.yaml")
    assert config["model"] | {"seed": 42} == {
        "model_name": "google-t5/t5-base",
        "method": {
            "class_path": "lit_compacter.Compacter",
            "init_args": {
                **{
                    "reduction_factor": 32,
                    "sublayers": ["self_attention", "feed_forward"],
                    "non_linearity": "gelu_new",
                },
                **{"stacks": ["encoder", "decoder"], "phm_dim": 4, "phm_rank": 1, "shared_phm_rule": True},
                **{
                    "factorized_phm_rule": False,
                    "learn_phm_rule": True,
                    "shared_factors": False,
                    "init": "xavier_uniform",
                },
            },
        },
        "learning_rate": 0.003,
        "warmup_steps": 500,
        "weight_decay": 0.0,
        "pretrained": True,
        "backbone_dtype": "float32",
        "gradient_checkpointing": False,
        "compile": False,
        "evaluate": "generate",
        "seed": 42,
    }
    assert config["data"]["batch_size"] == 100 and config["data"]["max_source_length"] == 128
    assert config["trainer"]["max_epochs"] == 20 and config["trainer"]["gradient_clip_val"] == 1.0


def class_of(file: str) -> str:
    return str(yaml.safe_load((CONFIGS / file).read_text())["model"]["method"]["class_path"])


@pytest.mark.parametrize("second", METHOD_FILES)
def test_the_later_method_file_replaces_the_earlier(second: str) -> None:
    """Whole, also if both are of the same class and name different options."""
    alone = parse("rte.yaml", second)
    for first in METHOD_FILES:
        assert parse("rte.yaml", first, second) == alone, first


# The paper's, appendix and code: learning rate, batch size, accumulation, task name before the input.
RECIPES = {
    "adapter": (3e-4, 100, 1, False),
    "adapter_drop": (3e-4, 100, 1, False),
    "bitfit": (3e-4, 100, 1, True),
    "compacter": (3e-3, 100, 1, False),
    "compacter_pp": (3e-3, 100, 1, False),
    "full": (3e-4, 100, 1, True),
    "intrinsic_said": (3e-2, 50, 2, True),
    "low_rank": (3e-3, 100, 1, False),
    "pfeiffer": (3e-4, 100, 1, False),
    "phm_adapter": (3e-3, 100, 1, False),
    "prompt_random": (3e-2, 50, 2, True),
    "prompt_tokens": (3e-1, 50, 2, True),
}


@pytest.mark.parametrize("file", RECIPES)
def test_recipes_are_the_papers(file: str) -> None:
    config: Any = parse("rte.yaml", f"methods/{file}.yaml")
    data, trainer = config["data"], config["trainer"]
    found = config["model"]["learning_rate"], data["batch_size"], trainer["accumulate_grad_batches"]
    assert (*found, data["add_task_name"]) == RECIPES[file]
    assert config["model"]["warmup_steps"] == 500 and trainer["gradient_clip_val"] == 1.0


def test_every_method_has_a_config() -> None:
    assert {class_of(file) for file in METHOD_FILES} == METHODS.keys()


def test_defaults_choose_no_method() -> None:
    assert "model" not in yaml.safe_load((CONFIGS / "defaults.yaml").read_text())


@pytest.mark.parametrize("file", OTHER_FILES)
def test_trainer_files_compose(file: str) -> None:
    given, found = yaml.safe_load((CONFIGS / file).read_text())["trainer"], parse("rte.yaml", file)["trainer"]
    strategy = given.pop("strategy", found["strategy"])
    assert given.items() <= found.items()
    if isinstance(strategy, dict):
        assert strategy["init_args"].items() <= found["strategy"]["init_args"].items()
    else:
        assert strategy == found["strategy"]


@pytest.mark.parametrize("given", ["DDPStrategy", "lit_compacter.sharded_strategy.ShardedBackbone"])
def test_a_timeout_on_the_command_line(given: str) -> None:
    config = parser().parse_args(
        ["--config=rte.yaml", f"--trainer.strategy={given}", "--trainer.strategy.timeout=0:05:00"]
    )
    assert config.trainer.strategy.init_args.timeout == timedelta(minutes=5)


def test_the_slurm_job() -> None:
    """Its shell is valid, its resources are those that multi_node.yaml expects, and its command parses."""
    path = CONFIGS / "trainer/slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", text, re.MULTILINE))
    assert int(directives["nodes"]) == MULTI_NODE["num_nodes"]
    assert int(directives["ntasks-per-node"]) == int(directives["gpus-per-node"]) == MULTI_NODE["devices"]
    (command,) = re.findall(r"python main.py fit (.+)", text)
    assert parser().parse_args(command.split()).ckpt_path == "last"
    assert f"    {EXIT_RESUMABLE}) scontrol requeue" in text


def test_the_kubernetes_job() -> None:
    """Its fields are those of a PyTorchJob, its resources those of multi_node.yaml, and its command parses."""
    claim, job = yaml.safe_load_all((CONFIGS / "trainer/kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    spec, worker = job["spec"], job["spec"]["pytorchReplicaSpecs"]["Worker"]
    elastic = spec["elasticPolicy"]
    assert elastic["minReplicas"] == elastic["maxReplicas"] == worker["replicas"] == MULTI_NODE["num_nodes"]
    assert elastic["maxRestarts"] > 0 and worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert int(spec["nprocPerNode"]) == container["resources"]["limits"]["nvidia.com/gpu"] == MULTI_NODE["devices"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    verb, *options = container["args"]
    root = container["volumeMounts"][0]["mountPath"]
    assert verb == "fit" and parser().parse_args(options).trainer.default_root_dir == root


@pytest.mark.parametrize("file", LOGGER_FILES)
def test_logger_files_compose(file: str) -> None:
    """Also where the library of the logger is not installed."""
    given, found = yaml.safe_load((CONFIGS / file).read_text())["trainer"]["logger"], parse("rte.yaml", file)
    logger = found["trainer"]["logger"]
    assert logger["class_path"] == f"pytorch_lightning.loggers.{given['class_path']}"
    assert all(given[part].items() <= logger[part].items() for part in given if part != "class_path")


@pytest.mark.parametrize("file", RECIPE_FILES)
@pytest.mark.parametrize("task", ["cb.yaml", "copa.yaml", "rte.yaml", "wsc.yaml"])
def test_recipe_files_compose(task: str, file: str) -> None:
    """A recipe changes what it names, also in the config that the run keeps, and nothing else of the task's."""
    given, config, before = yaml.safe_load((CONFIGS / file).read_text()), parse(task, file), parse(task)
    for section, options in given.items():
        assert config[section] == before[section] | options
    assert all(config[section] == before[section] for section in config.keys() - given.keys())
    assert parse(task, "methods/lora.yaml", file)["model"]["warmup_steps"] == given["model"]["warmup_steps"]


@pytest.mark.parametrize("given", ["1.5", "-1", "-0.1", "many", "nan"])
def test_a_warmup_that_is_neither_steps_nor_a_share(given: str) -> None:
    with pytest.raises(
        UserError, match=r"model.warmup_steps is .*; expected a share of the run \(below 1\) or a whole"
    ):
        parser().parse_args(["--config=rte.yaml", f"--model.warmup_steps={given}"])


def test_verbs_are_lightnings() -> None:
    others = {"show", "plan", "download", "study", "report", "export"}
    assert {*LightningCLI.subcommands(), *others} == VERBS.keys()


def test_a_config_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        find_config("lora")
        == find_config("lora.yaml")
        == find_config("methods/lora")
        == str(CONFIGS / "methods/lora.yaml")
    )
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.yaml").touch()
    monkeypatch.setattr("lit_compacter.cli.configs.CONFIGS", tmp_path)
    with pytest.raises(UserError, match=r"several config files 'same': give one of one/same.yaml, other/same.yaml"):
        find_config("same")


def test_a_config_that_does_not_exist() -> None:
    """A similar name is all that is said; else those in the same folder."""
    with pytest.raises(UserError, match=r"^no config file 'methods/lorra.yaml'; did you mean 'lora'\?$"):
        find_config("methods/lorra.yaml")
    with pytest.raises(UserError, match=r"^no config file 'metods/lora.yaml'; did you mean 'methods/lora.yaml'\?$"):
        find_config("metods/lora.yaml")
    with pytest.raises(UserError, match=r"there are trainer/bf16.yaml, trainer/cpu.yaml, .*trainer/multi_node.yaml$"):
        find_config("trainer/xxx.yaml")
    with pytest.raises(UserError, match=r"there are ax.yaml, axb.yaml, ") as raised:
        find_config("/nowhere/xxx.yaml")
    assert ", methods, " in str(raised.value) and "lora" not in str(raised.value)


def test_what_a_later_file_replaces_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("data: {task: rte, batch_size: 8}\nmodel: {learning_rate: 0.001}\n")
    first = {"data.task": "rte", "data.batch_size": 8, "model.method": "Compacter"}
    later = {"data.task": "rte", "data.batch_size": 100, "model.method": {"class_path": "my.Compacter"}}
    assert replaced_options({"a.yaml": first, "b.yaml": later}) == ["data.batch_size 8 of a.yaml (100 in b.yaml)"]
    one = {"model.method": {"class_path": "Compacter", "init_args": {"phm_dim": 4, "phm_rank": 1}}}
    other = {
        "model.method": {"class_path": "Compacter", "init_args": {"phm_dim": 8, "phm_rank": 1}},
        "model.method.phm_rank": 2,
    }
    told = ["Compacter.phm_dim 4 of a.yaml (8 in b.yaml)", "Compacter.phm_rank 1 of a.yaml (2 in b.yaml)"]
    assert replaced_options({"a.yaml": one, "b.yaml": other}) == told
    other = {"model.method": {"class_path": "Adapter", "init_args": {"reduction_factor": 8}}}
    assert replaced_options({"a.yaml": one, "b.yaml": other}) == [
        "model.method Compacter of a.yaml (Adapter in b.yaml)",
        "Compacter.phm_dim 4 of a.yaml (dropped by b.yaml)",
        "Compacter.phm_rank 1 of a.yaml (dropped by b.yaml)",
    ]


def test_what_a_later_files_method_drops_is_said() -> None:
    """The same method, but its options are those of the later file, or its defaults."""
    told = replaced_options(Request.read(["--config=demo.yaml", "--config=compacter", "--config=compacter"]).configs)
    assert "Compacter.reduction_factor 8 of demo.yaml (dropped by methods/compacter.yaml)" in told
    configs = {"a.yaml": {"model.method": {"class_path": "Adapter", "init_args": {"reduction_factor": 8}}}}
    assert replaced_options(configs | {"b.yaml": {"data.batch_size": 8}}) == []
    assert replaced_options(configs | {"b.yaml": {"model.method.reduction_factor": 16}}) == []


def test_the_command_line_wins_wherever_it_stands() -> None:
    options = ["--model.learning_rate=1e-4", "--ckpt_path=best"]
    configs = ["--config", "rte.yaml", "-c", "methods/adapter.yaml"]
    for words in ([*options, *configs], [*configs, *options], [*configs[:2], *options, *configs[2:]]):
        request = Request.read(words)
        assert request.args == ["--config", "rte.yaml", "--config", "methods/adapter.yaml", *options]
        assert request.get("model.learning_rate") == "1e-4"


def test_help_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["fit", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
        printed = capsys.readouterr().out
        if arguments == ["--version"]:
            assert printed.split() == ["lit-compacter", version("lit-compacter")]
        elif arguments == ["--help"]:
            assert all(sentence in " ".join(printed.split()) for sentence in VERBS.values())
        else:
            places = [
                printed.index(f"\n  --{name}") for name in ("run_name", "data.task", "model.method", "trainer.acc")
            ]
            assert places == sorted(places) and "Runs the full" not in printed


def test_every_synonym_is_of_an_option() -> None:
    methods = {f"model.method.{field.name}" for method in METHODS.values() for field in dataclasses.fields(method)}  # type: ignore[arg-type]
    known = {*parser().get_defaults().keys(), "model.method"} | methods
    assert set(SYNONYMS) <= known
