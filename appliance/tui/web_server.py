"""Serves the screens to a browser on this machine, read-only.

The application that is served is made with `Settings.is_remote`: it cannot ask the daemon, write a file or be quit.
One application runs without a terminal; a page asks for its picture again and again and sends the keys that are
pressed.

Invariants
----------
1. Only whoever started it sees anything: every path begins with a token of this one run, which is part of the address
   that is printed to them. Other users of this machine reach the port and are refused.
2. Only 127.0.0.1 is bound, and only requests that name it are answered: another site's page in the same browser cannot
   reach it under a name of its own. Keys need a header that no foreign page may set.
3. Where systemd gives a runtime folder, the address is a file in it for its owner only, and appears in no log.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from appliance.system.durable_files import DurableFs
from appliance.tui.app import ApplianceApp
from signals.errors import FixInput
from signals.text.wording import reason_of

HOST = "127.0.0.1"
SIZE = (120, 40)
KEYS = frozenset(
    {
        "slash",
        "question_mark",
        "left_square_bracket",
        "right_square_bracket",
        "minus",
        "space",
        "up",
        "down",
        "left",
        "right",
        "enter",
        "escape",
        "pageup",
        "pagedown",
        "home",
        "end",
        "backspace",
        "tab",
        "full_stop",
    }
)
LETTER = re.compile(r"[A-Za-z0-9]")
KEY_HEADER = "x-screens-key"
TOKEN_BYTES = 32
ADDRESS_FILE = "address"
PAGE_HEADERS = {"content-security-policy": "frame-ancestors 'none'", "referrer-policy": "no-referrer"}
WEB_FONT = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>appliance (read-only)</title>
<style>body{margin:0;background:#111}img{display:block;max-width:100vw;max-height:100vh;margin:auto}</style></head>
<body><img id="screen" alt="the screens of the device" src="screen.svg"><script>
const names={"/":"slash","?":"question_mark","[":"left_square_bracket","]":"right_square_bracket","-":"minus",
" ":"space","ArrowUp":"up","ArrowDown":"down","ArrowLeft":"left","ArrowRight":"right","Enter":"enter","Escape":"escape",
"PageUp":"pageup","PageDown":"pagedown","Home":"home","End":"end","Backspace":"backspace","Tab":"tab",".":"full_stop"};
const screen=document.getElementById("screen");let n=0;
function again(){const next=new Image();next.onload=()=>{screen.src=next.src};next.src="screen.svg?"+(n++)}
setInterval(again,1000);
document.addEventListener("keydown",e=>{if(e.ctrlKey||e.metaKey||e.altKey)return;
const key=names[e.key]||(e.key.length===1?e.key:null);if(!key)return;e.preventDefault();
fetch("key/"+encodeURIComponent(key),{method:"POST",headers:{"x-screens-key":"1"}}).then(()=>setTimeout(again,120))});
</script></body></html>"""


Endpoint = Callable[[Request], Awaitable[Response]]


def web_app(app: ApplianceApp, token: str) -> Starlette:
    """Return the web application around the screens `app`, which runs for as long as it does.

    Parameters
    ----------
    app : ApplianceApp
    token : str
        First part of every path that is answered.
    """
    inside: list[Context] = []  # the running application's context, the only one in which it can be drawn

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    async def screen(_request: Request) -> Response:
        drawn = inside[0].run(app.export_screenshot, title="appliance (read-only)")
        picture = WEB_FONT.sub("", drawn)
        return Response(picture, media_type="image/svg+xml", headers={"cache-control": "no-store"})

    async def key(request: Request) -> Response:
        name = str(request.path_params["name"])
        if KEY_HEADER not in request.headers:
            return PlainTextResponse("a key comes from the page itself", 403)
        if name not in KEYS and not LETTER.fullmatch(name):
            return PlainTextResponse("not a key of the read-only screens", 400)
        inside[0].run(app.simulate_key, name)
        return Response(status_code=204)

    @asynccontextmanager
    async def running(_door: Starlette) -> AsyncIterator[None]:
        ready = asyncio.Event()

        async def started(_pilot: object) -> None:
            inside.append(copy_context())
            ready.set()

        life = asyncio.create_task(app.run_async(headless=True, size=SIZE, mouse=False, auto_pilot=started))
        await ready.wait()
        try:
            yield
        finally:
            app.exit()
            await life

    return Starlette(
        routes=[
            Route("/{token}/", _of_the_owner(page, token)),
            Route("/{token}/screen.svg", _of_the_owner(screen, token)),
            Route("/{token}/key/{name}", _of_the_owner(key, token), methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        lifespan=running,
    )


def serve(app: ApplianceApp, port: int, runtime: Path | None) -> None:
    """Serve the screens on 127.0.0.1 until interrupted.

    Parameters
    ----------
    app : ApplianceApp
    port : int
    runtime : Path or None
        The folder that systemd gives, where the address is left; without one it is printed.

    Raises
    ------
    FixInput
        Another program has the port.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise FixInput(
            "the port cannot be listened on", where=f"{HOST}:{port}: {reason_of(error)}", fix="Choose another with --port"
        ) from None
    with listener:
        _announce(f"http://{HOST}:{port}/{token}/", runtime)
        uvicorn.Server(uvicorn.Config(web_app(app, token), log_level="warning")).run(sockets=[listener])


def _of_the_owner(endpoint: Endpoint, token: str) -> Endpoint:
    """Answer only requests whose path begins with the token."""

    async def answer(request: Request) -> Response:
        if not secrets.compare_digest(str(request.path_params["token"]).encode(), token.encode()):
            return PlainTextResponse("the address with its token was given to whoever started the screens", 403)
        return await endpoint(request)

    return answer


def _announce(address: str, runtime: Path | None) -> None:
    if runtime is not None:
        DurableFs().write(runtime / ADDRESS_FILE, f"{address}\n".encode())
        return
    sys.stdout.write(f"{address} shows the screens to whoever has this address, read-only; Ctrl+C ends it\n")
    sys.stdout.flush()
