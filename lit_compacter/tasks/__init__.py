"""Task declarations. To add one, add an entry to `GLUE_TASKS` or `SUPERGLUE_TASKS` and a YAML to `configs/`."""

from lit_compacter.data.options import DataOptions
from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.tasks.custom import CUSTOM as CUSTOM
from lit_compacter.tasks.custom import custom_task, first_custom_option
from lit_compacter.tasks.glue import GLUE_TASKS
from lit_compacter.tasks.superglue import SUPERGLUE_TASKS
from lit_compacter.tasks.task import Task as Task

TASKS: dict[str, Task] = {task.name: task for task in (*GLUE_TASKS, *SUPERGLUE_TASKS)}


def hub_repository(task: object) -> str | None:
    """The repository on the hub of the rows of `data.task`, which may be any value, as the user has given it."""
    hub = TASKS[task].hub if isinstance(task, str) and task in TASKS else None
    return hub.repository if hub else None


def find_task(options: DataOptions) -> Task:
    """The task that the options name.

    Raises:
        UserError: No task has that name (the message suggests the closest), or an option does not fit it.
    """
    name = options.task
    if name == CUSTOM:
        return custom_task(options)
    if name not in TASKS:
        known = ", ".join((*TASKS, CUSTOM))
        raise UserError(f"unknown task {name!r} (data.task); expected one of {known}{did_you_mean(name, TASKS)}")
    if given := first_custom_option(options):
        raise UserError(f"data.{given} is an option of task {CUSTOM} and not of {name}")
    task, trained_on = TASKS[name], options.trained_on
    if trained_on is None or not task.trained_on:
        return task
    if trained_on not in task.trained_on:
        expected = " or ".join(task.trained_on)
        raise UserError(f"the model was trained on {trained_on}; {name} is for models trained on {expected}")
    return task.in_form_of(TASKS[trained_on])
