"""What is told: one file a report, frames in, messages out. Texts are templates in `templates/`."""
