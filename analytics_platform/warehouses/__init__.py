"""Where events and results live: one file a warehouse, all behind the port in `base.py`."""
