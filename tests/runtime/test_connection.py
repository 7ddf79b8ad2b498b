"""An error of communication is told from a bug, and said in one line; `tests/test_hosts.py` breaks real connections."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from lit_compacter.errors import LostConnection, UserError
from lit_compacter.runtime.connection import Connection, translate_lost_connections
from lit_compacter.runtime.errors import report_user_errors


@pytest.fixture
def _process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def backward(connection: Connection) -> None:
    """A training step of a model whose gradients are communicated."""
    model = DistributedDataParallel(torch.nn.Linear(2, 1))
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(model=model))
    connection.on_fit_start(trainer, None)  # type: ignore[arg-type]
    model(torch.ones(1, 2)).sum().backward()


@pytest.mark.usefixtures("_process_group")
def test_gradients_that_cannot_be_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    failed.set_exception(RuntimeError("whatever gloo says"))  # type: ignore[arg-type]
    monkeypatch.setattr("lit_compacter.runtime.connection.allreduce_hook", lambda group, bucket: failed)
    connection = Connection()
    with pytest.raises(LostConnection, match=r"rank 0 cannot reach another process.*; last\.ckpt is of step 3$"):
        fail(connection, lambda: backward(connection), "last.ckpt is of step 3")


@pytest.mark.usefixtures("_process_group")
def test_another_communication() -> None:
    with pytest.raises(LostConnection):
        fail(Connection(), lambda: distributed.all_reduce(torch.ones(1, dtype=torch.bool), distributed.ReduceOp.AVG))


def test_a_host_that_does_not_arrive() -> None:
    def wait() -> None:
        raise distributed.DistStoreError("timed out")

    with pytest.raises(LostConnection):
        fail(Connection(), wait)


def test_a_device_without_memory_for_a_gathered_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setitem(allocate.__globals__, "__name__", "torch.distributed.fsdp")  # where FSDP allocates
    with pytest.raises(torch.OutOfMemoryError):
        fail(Connection(), allocate)


@pytest.mark.usefixtures("_process_group")
def test_a_bug_keeps_its_traceback() -> None:
    connection = Connection()
    backward(connection)
    with pytest.raises(RuntimeError) as raised:
        fail(connection, lambda: torch.ones(2) @ torch.ones(3))
    assert type(raised.value) is RuntimeError


def fail(connection: Connection, call: Callable[[], Any], note: str | None = None) -> None:
    """Call what fails as a run does; a callback may add a note to the error."""
    with translate_lost_connections(Trainer(logger=False, callbacks=[connection])):
        try:
            call()
        except RuntimeError as error:
            if note:
                error.add_note(note)
            raise


def test_the_exit_code_says_that_the_same_command_may_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code in ((LostConnection("gone"), 1), (UserError("wrong"), 2)):
        with pytest.raises(SystemExit) as stopped, report_user_errors():
            raise error
        assert stopped.value.code == code
    assert capsys.readouterr().err == "error: gone\nerror: wrong\n"


@pytest.mark.usefixtures("_process_group")
def test_other_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(found: list[dict[str, str]], own: dict[str, str]) -> None:
        found[:] = [own, {**own, "torch": "1.0"} | {"peft": "0.1"}]

    monkeypatch.setattr("lit_compacter.runtime.connection.versions", lambda: {"torch": "2.0", "transformers": "5.0"})
    monkeypatch.setattr(distributed, "all_gather_object", gather)
    message = (
        "rank 0 has torch 2.0, peft absent, and rank 1 torch 1.0, peft 0.1; install the same versions on all hosts"
    )
    with pytest.raises(UserError, match=message):
        Connection().setup(Trainer(logger=False, accelerator="cpu"), None, "fit")  # type: ignore[arg-type]
