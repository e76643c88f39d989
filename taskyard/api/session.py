"""Sessions of browsers: a token kept in a cookie that no script can read. The token stays all there is to a session."""

from __future__ import annotations

from contextlib import suppress

from taskyard.api.call import Call, Problem
from taskyard.api.operation import ANYONE, NO_QUERY, NoQuery, Operation, any_node
from taskyard.api.origin import FOREIGN, check_change, encrypted, local
from taskyard.api.peer import Proxies
from taskyard.api.problems import BAD_REQUEST, FORBIDDEN, UNAUTHORIZED
from taskyard.api.sign_ins import BEGIN, END, REFUSE, Seen, SignIns
from taskyard.tokens import BadToken, NoRole, Principal, TokenError, Verifier
from taskyard.web.cookies import end_session, keep_session, session_of
from taskyard.wire.base import Answer
from taskyard.wire.reader import Reader
from taskyard.wire.session import Session, SignedOut, SignIn

# Browsers drop a cookie of more than 4,096 bytes, its name and attributes included.
_COOKIE_MOST = 3900


def shown(who: Principal) -> Session:
    """A session as its owner sees it."""
    return Session(sub=who.sub, roles=sorted(who.roles), exp=int(who.expires_s * 1000))


async def show(call: Call, _: NoQuery) -> Answer:
    """GET /api/session"""
    return shown(call.who)


def operations(verifier: Verifier, sign_ins: SignIns, proxies: Proxies) -> list[Operation]:
    """The session's operations; `verifier` says whose token it is, `sign_ins` keeps who came and went from where."""

    def note(call: Call, action: str, who: str, status: int = 200) -> None:
        address = proxies.client(call.request.peer, call.request_headers.get(b"x-forwarded-for"))
        sign_ins.note(Seen(action, who, address, status))

    async def end(call: Call, _: NoQuery) -> Answer:
        headers, settings = call.request_headers, call.node.settings
        check_change(headers, settings.public_base())
        token = session_of(headers.get(b"cookie"), secure_only=settings.secure_sessions)
        with suppress(TokenError):  # nobody goes who was not there
            note(call, END, verifier.verify(token or "").sub)
        call.headers += [(b"set-cookie", cookie) for cookie in end_session()]
        return SignedOut()

    async def begin(call: Call, body: SignIn) -> Answer:
        try:
            session = sign_in(call, body)
        except Problem as problem:
            note(call, REFUSE, "", problem.kind.code)
            raise
        note(call, BEGIN, session.sub)
        return session

    def sign_in(call: Call, body: SignIn) -> Session:
        headers, settings = call.request_headers, call.node.settings
        check_change(headers, settings.public_base())
        secure = encrypted(headers)
        trusted = local(headers) and not settings.secure_sessions
        if not (secure or trusted or settings.session_plain_http):
            details = "without HTTPS anyone on the way could read the token; TASKYARD_SESSION_PLAIN_HTTP=true allows it"
            raise Problem(FOREIGN._replace(error="Forbidden: not over HTTPS"), details)
        token = body.token.strip()
        try:
            who = verifier.verify(token)
        except BadToken as bad:
            raise Problem(UNAUTHORIZED, f"{bad}; get a new token") from None
        except NoRole as none:
            raise Problem(FORBIDDEN, f"{none}; ask for one that has") from None
        if len(token) > _COOKIE_MOST:
            raise Problem(BAD_REQUEST, f"token: longer than {_COOKIE_MOST} characters, more than a browser keeps")
        call.headers += [(b"set-cookie", cookie) for cookie in keep_session(token, verifier.left_s(who), secure=secure)]
        return shown(who)

    return [
        Operation(
            method="POST",
            path="/api/session",
            anywhere=any_node,
            tag="Session",
            summary="Sign in a browser",
            description="Keeps a token in a cookie (HttpOnly, SameSite=Strict, Secure over HTTPS) that every call then "
            "accepts in place of a Bearer token. For pages of this node only: `Origin` must be its own.",
            handler=begin,
            takes=Reader(SignIn),
            answers=(Session,),
            roles=None,
            errors={
                401: "The token has expired, was signed with another key, or is none.",
                403: "The token has no role, the page is of another origin, or it came without HTTPS.",
                415: "The Content-Type is not application/json.",
            },
        ),
        Operation(
            method="GET",
            path="/api/session",
            anywhere=any_node,
            tag="Session",
            summary="Who am I",
            description="Of the cookie's token, or of the Bearer token.",
            handler=show,
            takes=NO_QUERY,
            answers=(Session,),
            roles=ANYONE,
        ),
        Operation(
            method="DELETE",
            path="/api/session",
            anywhere=any_node,
            tag="Session",
            summary="Sign out a browser",
            description="Drops the cookie. The token holds until it expires: it is only forgotten here.",
            handler=end,
            takes=NO_QUERY,
            answers=(SignedOut,),
            roles=None,
            errors={403: "The page is of another origin.", 415: "The Content-Type is not application/json."},
        ),
    ]
