"""The holder: one small process per session that owns the agent's PTY and writes its spool.

It is detached from the runner, so that restarting or upgrading the runner does not touch the agent.
Runner and holder talk over a UNIX socket in the session's folder (`messages`). A lock on the file
`holder.lock`, held for life, tells whether a holder is alive.
"""
