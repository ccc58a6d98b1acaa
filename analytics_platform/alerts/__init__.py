"""Alerts: from verdicts to incidents, what carries them, and what would have been sent."""
