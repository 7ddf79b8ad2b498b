"""Tasks as declarations: adding one is one entry in `GLUE_TASKS` or `SUPERGLUE_TASKS` and one YAML in `configs/`."""

from lit_compacter.data.options import DataOptions
from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.tasks.custom import OWN, only_of_own, own_task
from lit_compacter.tasks.glue import GLUE_TASKS
from lit_compacter.tasks.superglue import SUPERGLUE_TASKS
from lit_compacter.tasks.task import Task

__all__ = ["OWN", "TASKS", "Task", "find_task"]

TASKS: dict[str, Task] = {task.name: task for task in (*GLUE_TASKS, *SUPERGLUE_TASKS)}


def find_task(options: DataOptions) -> Task:
    """The task that the options name.

    Raises:
        UserError: There is none of that name, and the message proposes the nearest; or an option does not fit it.
    """
    name = options.task
    if name == OWN:
        return own_task(options)
    if name not in TASKS:
        known = ", ".join((*TASKS, OWN))
        raise UserError(f"unknown task {name!r} (data.task); expected one of {known}{did_you_mean(name, TASKS)}")
    if given := only_of_own(options):
        raise UserError(f"data.{given} is an option of task {OWN} and not of {name}")
    task, trained_on = TASKS[name], options.trained_on
    if trained_on is None or not task.trained_on:
        return task
    if trained_on not in task.trained_on:
        expected = " or ".join(task.trained_on)
        raise UserError(f"the model was trained on {trained_on}; {name} is for models trained on {expected}")
    return task.in_form_of(TASKS[trained_on])
