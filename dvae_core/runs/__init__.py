"""What is on disk: the folders of runs and of sweeps, as records. Nothing here trains."""
