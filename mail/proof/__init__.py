"""Ways to prove who one is: what each back end knows, and the arithmetic of passwords, SCRAM and tokens."""
