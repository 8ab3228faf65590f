"""The relay: official mail in, judged, held or sent on. Read relay.py first; the verdict is made in judge.py.

Here lie the steps of a mail and what they share. Behind them: session/ (a client's), content/ and checks/ (judging),
shelf/ (the spool's), carry/ (sending), tell/ (what is said of it), node/ (processes), cli/ (commands).
"""
