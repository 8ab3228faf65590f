"""How exemptions come to be: asked for, approved by others, reviewed, revoked, reminded of; the desk's side."""
