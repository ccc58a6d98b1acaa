"""How an older schema of the funnel ledger becomes the newest; the rules are those of `state/migrations`.

Belongs here: `versions/NNNN_what.py`. Does not: the tables as they are now (`state/funnel_models.py`).

MySQL commits at every change of the schema, so a step may be interrupted half-way: each one looks what is there already
and does the rest.
"""
