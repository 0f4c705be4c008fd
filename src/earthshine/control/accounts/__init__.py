"""People, sign-ins and API tokens."""
