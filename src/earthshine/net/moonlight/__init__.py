"""Thin asyncio drivers for `earthshine.protocols.moonlight`, in both roles."""
