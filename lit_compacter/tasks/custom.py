"""A custom task without code: files, a template over their columns, and the column that holds the answer."""

from lit_compacter.data.options import DataOptions
from lit_compacter.data.sources import Files
from lit_compacter.errors import UserError
from lit_compacter.tasks.answers import Answer, Labels, Number, Text, plain
from lit_compacter.tasks.metrics import METRICS
from lit_compacter.tasks.splits import official
from lit_compacter.tasks.task import SCALAR, Task
from lit_compacter.tasks.templates import Template

CUSTOM = "text2text"
OPTIONS = ("train_file", "validation_file", "test_file", "source", "target", "labels", "metrics")
PAIRED = "gender_parity"  # needs pairs of rows, which custom tasks do not have
DEFAULT_METRICS = {"labels": ("accuracy",), "numbers": ("pearson", "spearman"), "text": ("exact_match", "f1")}


def custom_task(options: DataOptions) -> Task:
    """The task that `source`, `target`, `labels` and `metrics` describe.

    Raises:
        UserError: Source or target is missing or not valid, or a metric does not fit the answers.
    """
    if not options.source or not options.target:
        example = '--data.source "question: {question} context: {context}"'
        needed = "--data.target, the column of the answer" if options.source else f"a template of the input: {example}"
        raise UserError(f"task {CUSTOM} needs {needed}")
    if PAIRED in (options.metrics or ()):
        raise UserError(
            f"metric {PAIRED} compares the two rows of a pair; rows of {CUSTOM} have no pairs: leave it out"
        )
    template = Template(options.source)
    answer = _answer(options)
    names = {split: getattr(options, f"{split}_file") for split in ("train", "validation", "test")}
    return Task(
        CUSTOM,
        template=template,
        answer=answer,
        metrics=tuple(options.metrics or DEFAULT_METRICS[answer.kind]),
        files=Files(folder="", names=names),
        columns=dict.fromkeys(template.columns, SCALAR),
        label=options.target,
        split=official,
        hint="; data.source and data.target name the columns",
    )


def first_custom_option(options: DataOptions) -> str | None:
    """The first given option that only custom tasks have."""
    return next((name for name in OPTIONS if getattr(options, name) is not None), None)


def _answer(options: DataOptions) -> Answer:
    if options.labels is not None:
        if any(isinstance(label, bool) for label in options.labels):
            raise UserError('data.labels: YAML reads yes, no, true and false as booleans; quote them: ["yes", "no"]')
        names = tuple(map(plain, options.labels))
        if len(set(names)) < max(2, len(names)):
            raise UserError(f"data.labels are {', '.join(names) or 'none'}; expected two or more, all different")
        return Labels(names, targets=names)
    return Number() if set(options.metrics or ()) & METRICS["numbers"].keys() else Text()
