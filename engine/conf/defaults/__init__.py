"""What libvirt adds to a document when it is defined."""
