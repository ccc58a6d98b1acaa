"""What is measured: event tables, metrics, dimensions and the queries composed from them. Pure; nothing here runs a query."""
