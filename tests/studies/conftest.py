"""Fixtures of searches with optuna, and of engines."""

from pathlib import Path

import pytest

from tests.studies.engine_runs import make_arguments


@pytest.fixture
def _fast_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text file instead of a database, which takes 0.2 seconds a trial."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    from lit_compacter.studies.search import optuna_search

    def open_journal(path: Path) -> optuna.storages.BaseStorage:
        return optuna.storages.JournalStorage(JournalFileBackend(str(path / optuna_search.DATABASE)))

    monkeypatch.setattr(optuna_search, "open_storage", open_journal)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The arguments of a study of four short cells."""
    return make_arguments(tmp_path)
