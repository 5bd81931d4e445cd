"""Real and procedural pictures, and the ways to read them."""
