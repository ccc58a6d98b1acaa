"""Where events come from: each module turns one kind of origin into rows or Arrow batches of an event table.

Belongs here: reading and validating. Does not: where events are stored (`warehouses/`), what is computed from them.
"""
