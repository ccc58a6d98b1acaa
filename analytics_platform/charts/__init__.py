"""Pictures of frames, one file each, in the shared look of `style.py`: PNG to look at, PDF to keep.

Belongs here: drawing, and all of matplotlib. Does not: figures (`metrics/`), number and date formats (`language.py`),
who gets a picture (`reports/`, `channels/`).
"""
