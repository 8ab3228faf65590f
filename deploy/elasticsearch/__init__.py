"""A real Elasticsearch on this machine: fetched by Maven, run without root, on loopback."""
