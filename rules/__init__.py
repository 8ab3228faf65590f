"""One way to write, check, publish and run a detection rule."""
