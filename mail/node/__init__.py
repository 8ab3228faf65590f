"""One node at work: its processes, their shards, what goes on beside the sessions, and who may ask them."""
