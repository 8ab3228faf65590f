"""How well a body's domains stand: what is published, where the hosts are, how they speak, and the remedy in words."""
