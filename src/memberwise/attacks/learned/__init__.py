"""The learned attack: its features, its judge, and how it is taught on shadow models."""
