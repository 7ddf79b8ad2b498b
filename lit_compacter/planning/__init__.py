"""What a run takes, before it is started: memory of each device, and bytes that the processes send."""
