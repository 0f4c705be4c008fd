"""Recording a desktop: its own encoding, as pieces of an MP4 that wait to be fetched.

`piece` and `journal` are pure: what becomes of frames, and how they survive a crash. `store` is the
disk, `recorder` one desktop's recording, `recordings` all of them.
"""
