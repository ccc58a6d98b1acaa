"""Seeded synthetic events with planted incidents and their truth, for the demo, the tests and the benchmarks.

Belongs here: who the simulated users are, what they do on a day, what goes wrong and when, and the files it is written
to. Does not: loading the files (`sources/files.py`), judging detectors by the truth (`alerts/replay.py`), real data.

`scenario.py`, `incidents.py` and `clock.py` are light; the rest needs numpy and pyarrow and is imported only where
events are really made (the command line's verb, tests, benchmarks).
"""
