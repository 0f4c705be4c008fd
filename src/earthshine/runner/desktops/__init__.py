"""Desktops on the runner: an isolated display for each session, and its one stream.

A desktop is two processes. Its *holder* (`holder/`) is detached from the runner, as the session's
holder is: it owns the X server, D-Bus, the window manager and the programs, starts a crashed
display again and stops an idle one. Its *worker* (`worker/`) is the holder's child and owns the
connection for capture and input, and the encoder: code that draws on large native libraries, whose
crash then costs a viewer a moment and the programs nothing.

The runner holds on to desktops through `keeper.DesktopKeeper`; whoever shows one to somebody opens
a `stream.DesktopStream` to its worker. `messages` is the format of both conversations.
"""
