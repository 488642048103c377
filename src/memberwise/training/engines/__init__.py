"""How a block of jobs becomes answers."""
