"""The reproductions, one family a file; ``memberwise.reproduce.registry`` lists them."""
