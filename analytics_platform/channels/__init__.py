"""Who is told: one file a channel, all behind the port in `base.py`."""
