"""Training defences: ways to train a model that gives less away. One file each; ``registry`` lists them."""
