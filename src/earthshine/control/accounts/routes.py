"""All routes of this domain."""

from __future__ import annotations

from fastapi import APIRouter

from earthshine.control.accounts.account_routes import router as account_router
from earthshine.control.accounts.device_routes import router as device_router
from earthshine.control.accounts.people_routes import router as people_router
from earthshine.control.accounts.sign_in_routes import router as sign_in_router

router = APIRouter()
for _part in (sign_in_router, account_router, device_router, people_router):
    router.include_router(_part)
