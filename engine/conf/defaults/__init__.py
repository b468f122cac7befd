"""What libvirt adds to a domain when it is defined."""
