"""The state on both of its engines."""
