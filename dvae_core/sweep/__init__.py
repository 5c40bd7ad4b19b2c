"""Sweeps: many runs from one recipe, and what they found.

A sweep is a folder of run folders:

  sweep.toml       the sweep file, as it was started last
  journal.jsonl    what was planned, and how each run ended
  <variant>-seed-<n>/   the runs
  jobs/            a file for each run that is under way
  session          names the command that drives the sweep; without it, runs stop
  comparison.md    the table, and the same as .csv and .json
  figures/
  report.html      all of it in one page
  memory.json      what callbacks remember

Whoever drives a sweep learns how its runs get on from these files alone. So it does not matter
which process is killed: the next one finds all that was reached.
"""
