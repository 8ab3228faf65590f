"""The sensors: what goes around the relay, and what attacks."""
