"""HTML pages: a run to explore, and the reports of runs and of sweeps."""
