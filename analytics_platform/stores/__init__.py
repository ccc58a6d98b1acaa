"""What other programs read: rankings put where they look for them."""
