"""How an older schema becomes the newest: one numbered file a step, in order, only ever forward.

Belongs here: `versions/NNNN_what.py`, written by hand, its revision the four digits its name begins with; never changed
once released. Does not: the tables as they are now (`state/models.py`; a test compares both on both engines). There is
no way back: a step down would have to throw away what the newer version wrote. Restore a copy of the database instead.
"""
