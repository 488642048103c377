"""The study: an audit's whole configuration, read, checked and resolved at the door."""
