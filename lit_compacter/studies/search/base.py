"""What a search does: it decides which cells run, and which of them are tested."""

from typing import Protocol

from lit_compacter.studies.engines.base import Engine, Listener
from lit_compacter.studies.folder import StudyFolder


class Search(Protocol):
    """The order in which the cells of a study run.

    Attributes:
        folder: The study's, with its cells.
        verb: A cell counts as finished when it has results of this one.
    """

    folder: StudyFolder
    verb: str

    def run(self, engine: Engine, listener: Listener) -> bool:
        """Run the cells that are left.

        Returns:
            Whether they have ended; see `Engine.run`.
        """
