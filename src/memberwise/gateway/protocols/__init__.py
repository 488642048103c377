"""The protocols that the gateway speaks to its clients."""
