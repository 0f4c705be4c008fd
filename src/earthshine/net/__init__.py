"""Asyncio drivers that run the engines of `earthshine.protocols` over real sockets."""
