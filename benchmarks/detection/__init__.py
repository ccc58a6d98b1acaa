"""The detectors on published series and on planted incidents. See README.md."""
