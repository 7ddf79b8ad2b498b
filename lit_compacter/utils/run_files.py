"""Names of the files in a run folder, which results/run_dir.py describes, and of the results in metrics.json."""

CONFIG = "config.yaml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
PREDICTIONS = "predictions.jsonl"
OUTCOMES = "{verb}_predictions.jsonl"
LOGS = "logs"
HISTORY, RESULTS = f"{LOGS}/history.jsonl", f"{LOGS}/results.jsonl"

LOSS, SCORE = "train/loss", "val/score"  # by optimizer step
BEST_SCORE, TEST_SCORE = "val/best_score", "test/score"  # of a run; the first is the val/score of best.ckpt
