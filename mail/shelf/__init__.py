"""What mail/spool.py keeps on disk, and how: shards, rows, bodies, and the values that they become."""
