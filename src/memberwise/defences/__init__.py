"""What makes a model tell less: in training, and in its answers."""
