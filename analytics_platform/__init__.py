"""A product-analytics platform: events in, exact metrics, charts, reports and alerts out.

Nothing is imported here: `analytics_platform.definitions` is Dagster's entry point and
`analytics_platform.cli` the command line's.
"""
