"""RDP to desktops of this runner: xrdp in front of TigerVNC, and the machine's own xrdp.

    RDP client -> xrdp (TLS, libvnc) -> doorkeeper (one-time password, filter) -> TigerVNC

xrdp listens on a UNIX socket in the display's private folder. libvnc can only reach ports, so the
doorkeeper listens on one of loopback, and lets in by passwords that are good once.
"""
