"""A real SeaweedFS server on loopback, and a proxy before it that is down, slow or lying on request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from botocore.config import Config

WEED = Path(sys.executable).parent / "weed"
BUCKET = "market"
WRITER, READER = ("writer-key", "writer-secret-canary"), ("reader-key", "reader-secret-canary")


@dataclass(frozen=True)
class Server:
    """Where the server listens; the reader's key may read below `store/` and nothing else."""

    endpoint: str

    def client(self, keys: tuple[str, str]) -> object:
        """A plain client of boto3, without our code."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the kernel gives to whoever asks for any."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports: list[int] = []
    for port in range(first - 1 - os.getpid() % 200 * 32, 1024, -1):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def upload(server: Server, root: Path, prefix: str = "store") -> None:
    """Put what is published below `root` into the bucket, below `prefix`."""
    client = server.client(WRITER)
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "raw" not in path.parts):
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(root).as_posix()}", Body=path.read_bytes())  # type: ignore[attr-defined]


@contextmanager
def serving(folder: Path, bind: str = "127.0.0.1") -> Iterator[Server]:
    """Start a server on an empty folder; its graceful end takes long, so it is killed and the folder thrown away."""
    identities = [
        {
            "name": "writer",
            "credentials": [dict(zip(("accessKey", "secretKey"), WRITER, strict=True))],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "reader",
            "credentials": [dict(zip(("accessKey", "secretKey"), READER, strict=True))],
            "actions": [f"Read:{BUCKET}/store/*"],
        },
    ]
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    names = (
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
    )
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [
        str(WEED),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        f"-ip.bind={bind}",
        "-filer",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=20",
        "-volume.preStopSeconds=1",
        "-master.telemetry=false",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    server = Server(f"http://127.0.0.1:{ports['s3.port']}")
    try:
        _wait(server, process, folder / "log")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    client = server.client(WRITER)
    deadline = time.monotonic() + 120
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")  # type: ignore[attr-defined]
            return
        except Exception as error:  # whatever it is, it is not ready
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:]) from error
            time.sleep(0.1)


@dataclass
class Answer:
    """What the server answered, for a fault to spoil before it is sent on."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut_at: int | None = None  # send so many bytes of the body and break the connection
    wait: float = 0.0  # seconds before anything is sent


Fault = Callable[[str, Answer], Answer | None]  # None: the connection is broken before an answer


def status(code: int) -> Callable[[str, Answer], Answer]:
    return lambda path, answer: Answer(code, {}, b"<html>no</html>")


def broken(path: str, answer: Answer) -> None:
    return None


def cut(path: str, answer: Answer) -> Answer:
    """The whole length is promised, the connection breaks at once."""
    return replace(answer, cut_at=0)


def half(path: str, answer: Answer) -> Answer:
    """Half an object, as if it were the whole: the length agrees with the lie."""
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    return replace(answer, body=answer.body[: len(answer.body) // 2], headers=headers)


def flipped(path: str, answer: Answer) -> Answer:
    middle = len(answer.body) // 2
    return replace(answer, body=answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :])


def misnamed(path: str, answer: Answer) -> Answer:
    """A pointer that names no folder of a bundle."""
    return replace(answer, body=answer.body.replace(b'"folder":"2', b'"folder":"x'))


def slow(path: str, answer: Answer) -> Answer:
    return replace(answer, wait=1.0)


def html(path: str, answer: Answer) -> Answer:
    """A captive portal."""
    return Answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")


def empty(path: str, answer: Answer) -> Answer:
    return Answer(200, {}, b"")


def wrong_tag(path: str, answer: Answer) -> Answer:
    return replace(answer, headers={**answer.headers, "ETag": '"0123456789abcdef0123456789abcdef"'})


FAULTS: dict[str, Fault] = {
    "down": broken,
    "cut": cut,
    "half": half,
    "flipped": flipped,
    "misnamed": misnamed,
    "html": html,
    "empty": empty,
    "500": status(500),
    "404": status(404),
    "slow": slow,
}
ON_THE_LINE = {"down", "cut", "500", "404", "slow"}


@dataclass
class Proxy:
    """A proxy whose faults are switched on by path; every request that it saw is kept."""

    endpoint: str = ""
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    seen: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range

    def spoil(self, part: str, fault: Fault) -> None:
        """From now on spoil the answers about paths that contain `part`."""
        self.faults.append((part, fault))

    def heal(self) -> None:
        """Be an honest proxy again, and forget what was seen."""
        self.faults.clear()
        self.seen.clear()


@contextmanager
def proxied(server: Server) -> Iterator[Proxy]:
    """Stand between a client and the server: signatures stay good, for the host that was signed is sent on."""
    proxy = Proxy()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None: ...

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.seen.append((self.command, self.path, self.headers.get("Range", "")))
            upstream = http.client.HTTPConnection(server.endpoint.removeprefix("http://"))
            upstream.request(self.command, self.path, body, dict(self.headers))
            found = upstream.getresponse()
            answer: Answer | None = Answer(found.status, dict(found.headers), found.read())
            upstream.close()
            for part, fault in proxy.faults:
                if answer is not None and part in self.path:
                    answer = fault(self.path, answer)
            if answer is None:
                self.close_connection = True
                return
            time.sleep(answer.wait)
            self.send_response_only(answer.status)
            length = answer.headers.get("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(answer.body if answer.cut_at is None else answer.body[: answer.cut_at])
            self.close_connection = answer.cut_at is not None

        do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = handle_one

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as httpd:
        httpd.daemon_threads = True
        proxy.endpoint = f"http://127.0.0.1:{httpd.server_address[1]}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            httpd.shutdown()
            thread.join()
