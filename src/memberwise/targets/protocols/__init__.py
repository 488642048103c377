"""Protocols of served models, from the client's side: pure codecs."""
