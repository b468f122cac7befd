"""The QEMU driver: real guests on this host."""
