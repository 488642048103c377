"""The audit, from a resolved study to a result."""
