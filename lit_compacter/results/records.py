"""Read logs/results.jsonl of a run. This module has no slow imports, so that a study's --help answers at once."""

from pathlib import Path
from typing import Any

from lit_compacter.utils.jsonl import read_records
from lit_compacter.utils.run_files import RESULTS

IS_OWN = "is_own"  # whether a result is of the run itself
WARNINGS = "warnings"  # what a result should be read with


def own_results(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Verb → the last record that is a result of the run itself."""
    records = read_records(run_dir / RESULTS)
    return {record["verb"]: record for record in records if record.get(IS_OWN, True)}  # older records do not say it


def read_warnings(run_dir: Path) -> list[str]:
    """What the results of a run should be read with: the summaries of the warnings of each verb."""
    own = own_results(run_dir).values()
    return list(dict.fromkeys(text for record in own for text in record.get(WARNINGS, ())))
