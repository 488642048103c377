"""How models are trained: one, or a stack of them at once."""
