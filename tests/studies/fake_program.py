"""Stands in for the command line: writes the results of fit and test as it does, at once.

The environment variable BEHAVIOR changes it for one cell, `{"NAME": "fail"}`: fail, crash, wait for SIGTERM,
no validation, or warn.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock

from lit_compacter.runtime.signals import EXIT_RESUMABLE
from lit_compacter.utils.jsonl import append_record
from lit_compacter.utils.run_files import CONFIG, METRICS, RESULTS

LOCK = ".lock"  # of results/run_dir.py, whose imports take seconds


def main() -> None:
    verb, *words = sys.argv[1:]
    options = dict(word.removeprefix("--").split("=", 1) for word in words if not word.startswith("--config"))
    name = options["run_name"]
    if verb == "fit":
        folder = Path(options["trainer.default_root_dir"], name)
    else:
        (config,) = (word.removeprefix("--config=") for word in words if word.startswith("--config"))
        folder = Path(config).parent
    folder.mkdir(parents=True, exist_ok=True)
    devices = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    append_record(folder / "calls.jsonl", {"verb": verb, **devices})
    behavior = json.loads(os.environ.get("BEHAVIOR", "{}")).get(name)
    if behavior == "fail":
        sys.exit("noise\nerror: the loss is nan at step 3; lower model.learning_rate\n")
    if behavior == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    with FileLock(folder / LOCK):
        if behavior == "wait":
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_RESUMABLE))
            (folder / "waiting").touch()
            time.sleep(60)
        score = int(options.get("seed_everything", 0)) / 10 + float(options.get("model.learning_rate", 0))
        scores = {} if behavior == "no validation" else {"val/best_score": score}
        metrics = json.loads((folder / METRICS).read_text()) if verb == "test" else scores
        (folder / CONFIG).touch()
        (folder / METRICS).write_text(json.dumps(metrics | ({"test/score": 0.5} if verb == "test" else {})))
        append_record(folder / RESULTS, {"verb": verb, "warnings": ["too short"] if behavior == "warn" else []})


if __name__ == "__main__":
    main()
