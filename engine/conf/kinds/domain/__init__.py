"""The domain document, one module a group of its elements."""
