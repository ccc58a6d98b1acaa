"""The steps, in order. See `state/funnel_migrations`."""
