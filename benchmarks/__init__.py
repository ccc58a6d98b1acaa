"""Speed and memory as ratios, measured side by side in one run: `python -m benchmarks`. See README.md beside this file.

Belongs here: data of a known shape, the same work done several ways, measuring and printing it. Does not: tests of
what the numbers mean (`analytics_platform_tests/`). Not part of the installed package.
"""
