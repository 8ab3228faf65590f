"""What mail/dispatch.py and mail/delivery.py send with: lanes, letters, connections, and what became of each try."""
