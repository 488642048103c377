"""Other libraries' interfaces: code written for them runs with only the import changed."""
