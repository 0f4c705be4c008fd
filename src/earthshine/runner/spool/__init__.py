"""A session's log on the runner's disk, from the agent until the control plane has stored it.

A spool is a folder of segments. A segment's name holds the `seq` of its first entry and the bytes
of terminal output before it, both as 16 hex digits: `SEQ-OFFSET.log`. It is a run of records:

    length u32 | crc32 u32 | seq u64 | output u32 | body          (big-endian)

where the body is one encoded entry (`earthshine.protocols.events`), `length` and `crc32` are the
body's, and `output` counts the bytes of terminal output in it. One process writes (the holder,
or, when that has died, the runner); readers need no lock, because records are only appended and
whole segments only removed. What is in the spool survives the death of every process; there is no
fsync, so a power cut can take the last seconds.
"""
