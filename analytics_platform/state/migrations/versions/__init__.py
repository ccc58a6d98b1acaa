"""The steps, in order. See `state/migrations`."""
