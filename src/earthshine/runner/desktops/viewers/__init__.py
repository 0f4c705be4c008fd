"""Showing desktops to people: the viewer protocol on a UNIX socket, joined to desktops' streams.

`server` listens, `room` is one desktop with all who watch it, `viewer` one of them. `control`,
`pace`, `pictures` and `hands` are pure: who types, how fast pictures may come, and the translation
between what viewers say and what the desktop's worker understands; `stills` is for viewers that
have no video.
"""
