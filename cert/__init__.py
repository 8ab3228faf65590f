"""The pipeline: from events to incidents that people work on."""
