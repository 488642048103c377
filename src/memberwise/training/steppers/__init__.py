"""One optimiser step of a stack of models: the general path and faster ones, each proven equal to it."""
