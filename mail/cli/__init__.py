"""The commands below `hudhud mail`, and their words; mail/commands.py loads the one that runs."""
