"""What the relay says of a mail: to the client, to its sender, to who looks at it, and to the CERT."""
