"""Cells as the tasks of a SLURM array job, which the user submits."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lit_compacter.runtime.command import ENTRY
from lit_compacter.runtime.signals import EXIT_RESUMABLE
from lit_compacter.studies.engines.base import EngineOptions, Listener
from lit_compacter.studies.folder import LOGS, VERBS, StudyFolder
from lit_compacter.studies.job import Job
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.console import console

FOLDER = "slurm"
NOTICE_S = 120  # from the signal to the time limit, for a run to save its state
CELLS = """\
cells=(
    {cells}
)
{study} --only "${{cells[$SLURM_ARRAY_TASK_ID]}}" &"""
# `wait` ends early when a trap runs; the last one, after the process has ended, gives its exit code.
SCRIPT = """\
#!/bin/bash
{directives}

cd {directory} || exit
{command}
study=$!
trap 'signaled=1; kill -USR1 $study' USR1
trap 'kill -TERM $study' TERM
while kill -0 $study 2>/dev/null; do wait $study; done
wait $study
code=$?
if [ "$signaled" = 1 ] && [ $code -eq {resumable} ]; then
    scontrol requeue "{job_id}"  # the time limit was near: go on in another job
fi
exit $code
"""


class SlurmEngine:
    """Writes the script of an array job with a task for each cell, and prints the command that submits it.

    A search chooses the cells to test once all are trained: a second job does the rest of the study.

    Args:
        options: The study's command, how many tasks run at a time, and the options of sbatch.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.study = shlex.join([sys.executable, str(ENTRY), *options.command])

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener) -> bool:
        untrained = {cell.name for cell in folder.cells if not cell.has_done(folder.path, VERBS[0])}
        if not jobs[0].cell.search or untrained - {job.cell.name for job in jobs}:  # of a grid, or some of a search
            submit = f"sbatch {self._write_array(jobs, folder)}"
        elif untrained:
            array = f"$(sbatch --parsable {self._write_array(jobs, folder)} | cut -d ';' -f 1)"
            submit = f"sbatch --dependency=afterany:{array} {self._write_rest(folder)}"
        else:
            submit = f"sbatch {self._write_rest(folder)}"
        console.print(f"submit the cells with: {submit}", markup=False, soft_wrap=True, highlight=False)
        return False

    def _write_array(self, jobs: Sequence[Job], folder: StudyFolder) -> str:
        cells = "\n    ".join(shlex.quote(job.cell.name) for job in jobs)
        limit = f"%{self.options.jobs}" if self.options.jobs else ""
        return self._write(
            folder.path / FOLDER / "cells.sh",
            CELLS.format(cells=cells, study=self.study),
            job_id="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID",
            more=[f"--array=0-{len(jobs) - 1}{limit}"],
        )

    def _write_rest(self, folder: StudyFolder) -> str:
        return self._write(folder.path / FOLDER / "rest.sh", f"{self.study} &", job_id="$SLURM_JOB_ID")

    def _write(self, path: Path, command: str, job_id: str, more: Sequence[str] = ()) -> str:
        """Write the script of a job, and return its path for a shell."""
        study = path.absolute().parents[1]
        directives = [
            f"--job-name={shlex.quote(study.name)}",
            f"--output={shlex.quote(str(study / LOGS / 'slurm-%j.out'))}",
            "--open-mode=append",
            "--requeue",  # also when its machine fails
            f"--signal=B:USR1@{NOTICE_S}",
            *more,
            " ".join(self.options.slurm_options.split()),  # of an option that is given twice, the last one counts
        ]
        path.parent.mkdir(exist_ok=True)
        (study / LOGS).mkdir(exist_ok=True)  # SLURM does not create it
        with atomic_write(path) as temporary:
            temporary.write_text(
                SCRIPT.format(
                    directives="\n".join(f"#SBATCH {directive}" for directive in directives if directive),
                    directory=shlex.quote(str(Path.cwd())),
                    command=command,
                    resumable=EXIT_RESUMABLE,
                    job_id=job_id,
                )
            )
        return shlex.quote(str(path))
