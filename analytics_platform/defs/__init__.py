"""How it runs: thin Dagster wrappings around the pure parts. Nothing here computes a figure."""
