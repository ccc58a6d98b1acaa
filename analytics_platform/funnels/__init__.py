"""E-mail funnels: who enters one, who bought, what came of it.

Belongs here: pure rules over what was read. Does not: reading the site (`sources/modx.py`), what is kept of it
(`state/funnels.py`), the mailing service (`contacts/`), running (`funnel_sync.py`, `funnel_outbox.py`, `defs/`).
"""
