"""The declarations of every kind of document. Pure."""
