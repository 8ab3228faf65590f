"""What a message contains, by several readings at once."""
