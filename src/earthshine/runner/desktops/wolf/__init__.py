"""Wolf's REST API on a UNIX socket: served for our own host, and spoken to either.

``schemas`` are the objects, ``api`` the routes, ``server`` the socket, ``client`` the other side.
"""
