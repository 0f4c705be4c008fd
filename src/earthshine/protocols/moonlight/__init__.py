"""GameStream as Moonlight clients speak it, for both ends of the wire.

Every module is one room of the protocol and stands by itself: bytes and a clock reading go in,
bytes and typed events come out. Nothing here opens a socket, sleeps, or draws randomness.

A session walks through the rooms in this order:

============================================  ======  ============================================
pairing, pairing_host, pairing_client,        HTTP    five phases after which each side knows the
certificates                                          other's certificate
query, answers, serverinfo, applist, launch   HTTPS   who the host is, how a session starts
rtsp, sdp, handshake                          TCP     seven requests that agree on ports, codec,
                                                      sizes and encryption
enet                                          UDP     reliable datagrams below the control stream
control, control_cipher, input, input_queue   ENet    requests, feedback and input, sealed
video, fec, depacketiser, nal, loss           UDP     pictures, parity, and what to do about loss
audio                                         UDP     Opus packets, parity, encryption
ping                                          UDP     how a host learns where to send media
============================================  ======  ============================================

Every error raised for bytes from the network derives from `errors.MoonlightError`.
"""
