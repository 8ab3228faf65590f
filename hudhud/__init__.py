"""The kernel: only the nouns that two programs of the house share."""
