"""What is measured: event tables, metrics, dimensions, and the queries composed from them. Nothing here runs one."""
