"""The engine as a service: an HTTP API over a UNIX socket or TCP."""
