"""What is measured: event tables, metrics, dimensions, the queries composed from them, the rows read back from a reader
that is given. Nothing here opens a warehouse.
"""
