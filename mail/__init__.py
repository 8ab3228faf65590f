"""The relay: official mail in, judged, held or sent on."""
