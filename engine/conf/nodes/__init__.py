"""The language in which documents are declared: once, as data, from which all that handles them follows. Pure."""
