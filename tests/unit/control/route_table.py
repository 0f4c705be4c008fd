"""Every route and socket of the application, and its rule. A new one must be entered here.

One table: `test_routes` compares it with the application, `test_roles` asks every route as
everybody, `RULES` says what each of them gets.
"""

from earthshine.control.app import RunnerDoor

OPEN = "open"  # everybody, signed in or not
CREDENTIALS = "credentials"  # the same, but who cannot prove what they say in the body gets 403
DEVICE = "device"  # machines, by a signature in the body: a person's sign-in is of no use
RUNNER = "runner"  # runners' sockets, by their token
ANYONE = "anyone"  # whoever is signed in, guests too
MEMBER = "member"
ADMIN = "admin"
VIEW = "view"  # SESSION_VIEW, and so on
CONTROL = "control"
OWN = "own"
USE = "use"  # RUNNER_USE, of a runner that is not shared
HAVE = "have"  # RUNNER_OWN

IN, NOBODY, NOT_ALLOWED, UNKNOWN = "in", "401", "403", "404"
PEOPLE = ("nobody", "guest", "viewer", "approver", "controller", "owner", "stranger", "admin")
"""`guest` came by a link as viewer; `owner` has the session and the runner; `stranger` is a member
who was given nothing."""
RULES = {
    OPEN: (IN, IN, IN, IN, IN, IN, IN, IN),
    CREDENTIALS: (NOT_ALLOWED,) * 8,
    ANYONE: (NOBODY, IN, IN, IN, IN, IN, IN, IN),
    MEMBER: (NOBODY, NOT_ALLOWED, IN, IN, IN, IN, IN, IN),
    ADMIN: (NOBODY, *(NOT_ALLOWED,) * 6, IN),
    VIEW: (NOBODY, IN, IN, IN, IN, IN, UNKNOWN, IN),
    CONTROL: (NOBODY, NOT_ALLOWED, NOT_ALLOWED, NOT_ALLOWED, IN, IN, UNKNOWN, IN),
    OWN: (NOBODY, NOT_ALLOWED, NOT_ALLOWED, NOT_ALLOWED, NOT_ALLOWED, IN, UNKNOWN, IN),
    USE: (NOBODY, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, IN, UNKNOWN, IN),
    HAVE: (NOBODY, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, IN, UNKNOWN, IN),
}

V = "/api/v1"
S = V + "/sessions/{session_id}"
R = V + "/runners/{runner_id}"
P = V + "/pairings/{pairing_id}"
EXPECTED = {
    # People
    ("GET", V + "/sign-in"): OPEN,
    ("POST", V + "/sign-in"): OPEN,
    ("POST", V + "/sign-in/password"): CREDENTIALS,
    ("POST", V + "/sign-in/passkey/options"): OPEN,
    ("POST", V + "/sign-in/passkey"): OPEN,
    ("GET", V + "/sign-in/oidc"): OPEN,
    ("GET", V + "/sign-in/oidc/callback"): OPEN,
    ("POST", V + "/sign-out"): ANYONE,
    ("GET", V + "/me"): ANYONE,
    ("PATCH", V + "/me"): MEMBER,
    ("GET", V + "/me/account"): MEMBER,
    ("PUT", V + "/me/password"): MEMBER,
    ("DELETE", V + "/me/password"): MEMBER,
    ("PUT", V + "/me/second-factor"): MEMBER,
    ("POST", V + "/me/passkeys/options"): MEMBER,
    ("POST", V + "/me/passkeys"): MEMBER,
    ("DELETE", V + "/me/passkeys/{passkey_id}"): MEMBER,
    ("POST", V + "/me/oidc"): MEMBER,
    ("DELETE", V + "/me/oidc"): MEMBER,
    ("GET", V + "/me/sign-ins"): MEMBER,
    ("DELETE", V + "/me/sign-ins"): MEMBER,
    ("DELETE", V + "/me/sign-ins/{sign_in_id}"): MEMBER,
    ("GET", V + "/me/tokens"): MEMBER,
    ("POST", V + "/me/tokens"): MEMBER,
    ("DELETE", V + "/me/tokens/{token_id}"): MEMBER,
    ("POST", V + "/socket-tickets"): ANYONE,
    ("POST", V + "/device-flow"): OPEN,
    ("POST", V + "/device-flow/token"): OPEN,
    ("GET", V + "/device-flow/{user_code}"): MEMBER,
    ("POST", V + "/device-flow/{user_code}"): MEMBER,
    ("GET", V + "/people"): ADMIN,
    ("POST", V + "/people"): ADMIN,
    ("GET", V + "/people/names"): MEMBER,
    ("PATCH", V + "/people/{person_id}"): ADMIN,
    ("DELETE", V + "/people/{person_id}"): ADMIN,
    ("POST", V + "/people/{person_id}/sign-in-code"): ADMIN,
    ("DELETE", V + "/people/{person_id}/sign-ins"): ADMIN,
    ("POST", V + "/sign-in-codes"): MEMBER,
    # Runners
    ("GET", V + "/runners"): ANYONE,
    ("GET", R): USE,
    ("PATCH", R): HAVE,
    ("DELETE", R): HAVE,
    ("GET", R + "/folders"): USE,
    ("POST", R + "/revoke"): HAVE,
    ("GET", R + "/secrets"): HAVE,
    ("PUT", R + "/secrets/{name}"): HAVE,
    ("DELETE", R + "/secrets/{name}"): HAVE,
    ("GET", V + "/pairings"): MEMBER,
    ("POST", V + "/pairings"): MEMBER,
    ("GET", P): MEMBER,
    ("POST", P + "/confirm"): MEMBER,
    ("POST", P + "/refuse"): MEMBER,
    ("POST", "/api/clients/challenge"): OPEN,
    ("POST", "/api/clients/pair"): DEVICE,
    ("POST", "/api/clients/pair/collect"): DEVICE,
    ("POST", "/api/clients/session"): DEVICE,
    ("POST", "/api/clients/unpair"): DEVICE,
    ("WS", RunnerDoor.PATH): RUNNER,
    ("WS", V + "/revdial"): RUNNER,
    # Sessions
    ("POST", V + "/sessions"): MEMBER,
    ("GET", V + "/sessions"): ANYONE,
    ("GET", S): VIEW,
    ("PATCH", S): OWN,
    ("DELETE", S): OWN,
    ("POST", S + "/prompt"): CONTROL,
    ("POST", S + "/input"): CONTROL,
    ("POST", S + "/interrupt"): CONTROL,
    ("POST", S + "/stop"): CONTROL,
    ("POST", S + "/kill"): CONTROL,
    ("POST", S + "/resize"): CONTROL,
    ("GET", S + "/events"): VIEW,
    ("GET", S + "/events/stream"): VIEW,
    ("WS", S + "/feed"): VIEW,
    ("POST", S + "/previews"): CONTROL,
    ("GET", S + "/previews"): VIEW,
    ("DELETE", S + "/previews/{preview_id}"): CONTROL,
    ("GET", S + "/connection-methods"): VIEW,
    ("WS", S + "/desktop"): VIEW,
    ("WS", S + "/desktop/vnc"): VIEW,
    ("GET", S + "/guac/connections"): VIEW,
    ("POST", S + "/guac/application"): VIEW,
    ("WS", S + "/guac/proxy"): VIEW,
    ("WS", V + "/external-agents/runners/{runner_id}/guac/proxy"): ADMIN,
    ("DELETE", S + "/desktop"): OWN,
    ("GET", S + "/rdp-connection"): VIEW,
    ("WS", S + "/desktop/rdp"): VIEW,
    ("GET", V + "/external-agents/runners/{runner_id}/rdp-connection"): ADMIN,
    ("POST", S + "/desktop/recording"): CONTROL,
    ("GET", S + "/desktop/recordings"): VIEW,
    ("GET", S + "/desktop/recordings/{recording_id}"): VIEW,
    ("DELETE", S + "/desktop/recordings/{recording_id}"): OWN,
    ("GET", S + "/files"): CONTROL,
    ("GET", S + "/files/{name}"): CONTROL,
    ("PUT", S + "/files/{name}"): CONTROL,
    ("GET", S + "/shares"): OWN,
    ("PUT", S + "/shares/{person_id}"): OWN,
    ("DELETE", S + "/shares/{person_id}"): OWN,
    ("POST", S + "/links"): OWN,
    ("DELETE", S + "/links/{link_id}"): OWN,
    ("POST", V + "/follow-link"): OPEN,
    ("GET", S + "/audit"): OWN,
    # Audit and secrets
    ("GET", V + "/audit"): ADMIN,
    ("GET", V + "/audit/verification"): ADMIN,
    ("GET", V + "/audit/export"): ADMIN,
    ("GET", V + "/me/secrets"): MEMBER,
    ("PUT", V + "/me/secrets/{name}"): MEMBER,
    ("DELETE", V + "/me/secrets/{name}"): MEMBER,
    # The rest
    ("WS", V + "/updates"): ANYONE,
    ("GET", V + "/openapi.json"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("GET", "/"): OPEN,
    ("GET", "/sessions/{rest}"): OPEN,
    ("GET", "/runners"): OPEN,
    ("GET", "/people"): OPEN,
    ("GET", "/audit"): OPEN,
    ("GET", "/account"): OPEN,
    ("GET", "/settings"): OPEN,
    ("GET", "/device"): OPEN,
    ("GET", "/{name}"): OPEN,
    ("GET", "/{rest}"): OPEN,
    ("*", "/assets"): OPEN,
}
SIGNATURE = {"challenge": "x", "signature": "A" * 86}
BODIES = {
    ("POST", V + "/sign-in"): {"code": "x"},
    ("POST", V + "/sign-in/password"): {"name": "nobody", "password": "wrong wrong wrong"},
    ("POST", V + "/sign-in/passkey"): {"id": "x", "credential": {}},
    ("PATCH", V + "/me"): {"name": "somebody else"},
    ("PUT", V + "/me/password"): {"current": None, "new": "a long enough sentence"},
    ("PUT", V + "/me/second-factor"): {"required": False},
    ("POST", V + "/me/passkeys"): {"id": "x", "name": "key", "credential": {}},
    ("POST", V + "/me/tokens"): {"name": "t", "scopes": ["read"], "expiresInDays": 1},
    ("POST", V + "/device-flow"): {"clientName": "c", "scopes": ["read"]},
    ("POST", V + "/device-flow/token"): {"deviceCode": "x"},
    ("POST", V + "/device-flow/{user_code}"): {"approve": False},
    ("POST", V + "/people"): {"name": "newcomer"},
    ("PATCH", V + "/people/{person_id}"): {"disabled": False},
    ("POST", V + "/sign-in-codes"): {},
    ("PATCH", R): {"name": "box"},
    ("PUT", R + "/secrets/{name}"): {"value": "a value"},
    ("POST", V + "/pairings"): {},
    ("POST", P + "/confirm"): {"fingerprint": "x"},
    ("POST", "/api/clients/pair"): {"code": "x", "key": "A" * 43, "signature": "A" * 86},
    ("POST", "/api/clients/pair/collect"): {"pairingId": "nosuchpairing", **SIGNATURE},
    ("POST", "/api/clients/session"): {"runnerId": "runner0001", "token": "x", **SIGNATURE},
    ("POST", "/api/clients/unpair"): {"runnerId": "runner0001", **SIGNATURE},
    ("POST", V + "/sessions"): {},
    ("PATCH", S): {"title": "new"},
    ("POST", S + "/prompt"): {"text": "hi"},
    ("POST", S + "/input"): {"data": "aGk="},
    ("POST", S + "/interrupt"): {},
    ("POST", S + "/stop"): {},
    ("POST", S + "/kill"): {},
    ("POST", S + "/resize"): {"cols": 80, "rows": 24},
    ("POST", S + "/previews"): {"port": 3000},
    ("POST", S + "/desktop/recording"): {"on": False},
    ("PUT", S + "/files/{name}"): b"the file",
    ("PUT", S + "/shares/{person_id}"): {"role": "viewer"},
    ("POST", S + "/links"): {"role": "viewer", "expiresIn": 60},
    ("POST", V + "/follow-link"): {"code": "x", "name": "x"},
    ("PUT", V + "/me/secrets/{name}"): {"value": "a value"},
}
BODILESS = {
    ("POST", V + "/sign-out"),
    ("POST", V + "/sign-in/passkey/options"),
    ("POST", V + "/me/passkeys/options"),
    ("POST", V + "/me/oidc"),
    ("POST", V + "/socket-tickets"),
    ("POST", V + "/people/{person_id}/sign-in-code"),
    ("POST", P + "/refuse"),
    ("POST", R + "/revoke"),
    ("POST", S + "/guac/application"),
    ("POST", "/api/clients/challenge"),
}
PLACES = {
    "runner_id": "runner0001",
    "preview_id": "p",
    "pairing_id": "nosuchpairing",
    "person_id": "nosuchperson",
    "passkey_id": "nosuchpasskey",
    "sign_in_id": "nosuchsignin",
    "token_id": "nosuchtoken",
    "user_code": "BCDF-GHJK",
    "link_id": "l",
    "recording_id": "0123456789abcdef",
    "name": "A_KEY",
    "rest": "x",
}
HTTP = [key for key in EXPECTED if key[0] not in ("WS", "*")]
OF_A_SESSION = {VIEW, CONTROL, OWN}


def ask(client, method, template, **places):
    """Request a route, with a body that it can read."""
    path = template.format(**PLACES | places)
    return client.request(method, path, **body_of(method, template))


def body_of(method, template):
    """A body that the route can read: JSON, or a file."""
    body = BODIES.get((method, template))
    if not isinstance(body, bytes):
        return {"json": body}
    return {"content": body, "headers": {"content-type": "application/octet-stream"}}
