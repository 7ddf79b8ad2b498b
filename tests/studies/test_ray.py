"""The same cells on a Ray cluster as on this machine, whatever is killed meanwhile."""

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from lit_compacter.runtime.signals import EXIT_RESUMABLE
from tests.command_line import error
from tests.studies.engine_runs import Process, make_arguments, results, training, wait_for

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the optional library ray is not installed")


def test_a_cluster_that_does_not_answer(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listener.getsockname()[1]}")
        message = error(capsys, *arguments, "--engine=ray")
    assert "cannot use the Ray cluster of RAY_ADDRESS=127.0.0.1:" in message and "Connection refused" in message


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The results of the local engine."""
    folder = tmp_path_factory.mktemp("local")
    with Process([*make_arguments(folder), "--jobs=2"]) as study:
        code, _, errors = study.end()
    assert code == 0, errors
    return results(folder / "out")


def result_of(study: Process) -> tuple[int, str]:
    code, printed, errors = study.end()
    assert not study.left()
    return code, printed + errors


@pytest.mark.soak
def test_ray_tries_a_cell_again(tmp_path: Path, expected: dict[str, object]) -> None:
    out = tmp_path / "out"
    with Process([*make_arguments(tmp_path), "--engine=ray", "--jobs=2"]) as study:
        wait_for(lambda: training(study, out))
        killed = training(study, out)[0]
        killed.parent().kill()  # the worker
        wait_for(lambda: not killed.is_running() and training(study, out))
        training(study, out)[0].terminate()  # as on a machine that is taken away
        code, printed = result_of(study)
    assert code == 0, printed
    assert "4 of 4 finished" in printed
    assert results(out) == expected


@pytest.mark.soak
def test_a_stopped_or_killed_study_goes_on_with_ray(tmp_path: Path, expected: dict[str, object]) -> None:
    command, out = [*make_arguments(tmp_path), "--engine=ray", "--jobs=2"], tmp_path / "out"
    with Process(command) as study:
        wait_for(lambda: training(study, out))
        study.popen.terminate()
        code, printed = result_of(study)
    assert code == EXIT_RESUMABLE
    assert "stopped by SIGTERM" in printed and "of 4 finished; the same command goes on" in printed
    with Process(command) as study:
        wait_for(lambda: training(study, out))
        study.popen.kill()
        study.end()
        wait_for(lambda: not study.left())
    assert len(results(out)) < 4
    with Process(command) as study:
        code, printed = result_of(study)
    assert code == 0, printed
    assert results(out) == expected
