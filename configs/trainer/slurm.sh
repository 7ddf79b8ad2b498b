#!/bin/bash
# Several machines with SLURM. Copy this file, change it, and submit it from the folder that holds the runs:
#   sbatch slurm.sh
# All machines must see that folder, and have the same versions of the program and its libraries.
#SBATCH --job-name=mnli
#SBATCH --nodes=2                 # trainer.num_nodes
#SBATCH --ntasks-per-node=8       # trainer.devices: a process for each GPU
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=SIGUSR1@120      # that long before the time is over, the run saves last.ckpt and exits with 75
#SBATCH --requeue                 # SLURM starts the job again if one of its machines fails
#SBATCH --open-mode=append        # of the job's output
#SBATCH --output=%x-%j.out

MAX_RESTARTS=5  # after a process or the network has failed
failures=$SLURM_JOB_ID.failures  # a byte for each; SLURM's own count has those after the time limit too

# The same line starts the run and goes on from last.ckpt. --kill-on-bad-exit ends all processes when one has failed.
srun --kill-on-bad-exit=1 \
    python main.py fit --config mnli.yaml --config trainer/multi_node.yaml --run_name mnli --ckpt_path last
code=$?

case $code in
    0) ;;
    2) echo "a mistake in the command or its files: see the line above that begins with error:" ;;
    75) scontrol requeue "$SLURM_JOB_ID" ;;  # stopped at the time limit, with everything saved
    *) printf . >> "$failures"; [ "$(wc -c < "$failures")" -le $MAX_RESTARTS ] && scontrol requeue "$SLURM_JOB_ID" ;;
esac
exit $code
