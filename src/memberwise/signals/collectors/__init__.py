"""Collectors: what asks models more than one question a record. One file each; ``registry`` lists them."""
