"""All that touches a wire."""
