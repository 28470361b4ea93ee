"""A local TLS stand-in for Alpaca's hosts, for clients whose address cannot be configured.

Such a program still heeds two variables of its environment, `HTTPS_PROXY` and the name of a file of trusted
authorities (`REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`). The stand-in is that proxy: it answers CONNECT with a certificate
for the host that was asked for, signed by an authority made for this one run, and passes every byte on to the exchange.

Invariants
----------
1. It listens on loopback only, and connects to the exchange only: no byte of a program leaves this machine.
2. It stands in for `HOSTS`. Every other host, that of live trading included, is refused with 403.
3. No private key outlives the start: the authority's is never written, that of the hosts only until it is loaded.
"""

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from signals.files import write_atomic

LOOPBACK = "127.0.0.1"
HOSTS = ("paper-api.alpaca.markets", "data.alpaca.markets")
HTTPS = "443"
VALID = timedelta(days=30)
BACKDATED = timedelta(days=1)  # a client whose clock is a little late still believes us
READ_BYTES = 65536
HEAD_LINES = 100


def certify(now: datetime) -> tuple[bytes, bytes, bytes]:
    """Return, as PEM, a new authority's certificate, and a certificate for `HOSTS` with its private key.

    Parameters
    ----------
    now : datetime
        Aware; the certificates hold from a day before it until 30 days after it.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paper-exchange stand-in, for one run")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def draft(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=name,
            subject_name=subject,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - BACKDATED,
            not_valid_after=now + VALID,
        )

    authority = (
        draft(name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    hosts = (
        draft(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])]), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem), hosts.public_bytes(pem), private


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _tls(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # the library reads keys from files only; the folder is ours only
        chain = Path(folder) / "chain.pem"
        write_atomic(chain, certificate + key)
        context.load_cert_chain(chain)
    return context


async def _stand_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, exchange_port: int) -> None:
    """Serve one program's connection to its end."""
    try:
        host = _asked_host(await reader.readline())
        for _ in range(HEAD_LINES):
            if (await reader.readline()).strip() == b"":
                break
        if host not in HOSTS:
            writer.write(b"HTTP/1.1 403 only Alpaca's paper hosts are stood in for\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 connected\r\n\r\n")
        await writer.drain()
        await writer.start_tls(context)
        answers, questions = await asyncio.open_connection(LOOPBACK, exchange_port)
        ways = [asyncio.create_task(_pass_on(reader, questions)), asyncio.create_task(_pass_on(answers, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            questions.close()
            for way in ways:
                way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    except asyncio.CancelledError:
        writer.transport.abort()  # the stand-in ends: nothing waits for the program's own end of TLS
        raise
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass  # the program left, or does not believe the certificate: it has been told so by TLS itself
    finally:
        writer.close()


def _asked_host(line: bytes) -> str:
    """Return the host of `CONNECT host:443 HTTP/1.1`, empty for any other request."""
    words = line.decode("latin-1").split()
    if len(words) != 3 or words[0] != "CONNECT":
        return ""
    host, _, port = words[1].partition(":")
    return host.lower() if port == HTTPS else ""


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while heard := await source.read(READ_BYTES):
        sink.write(heard)
        await sink.drain()


@contextmanager
def standing_in(port: int, exchange_port: int, authority: Path, now: datetime) -> Iterator[str]:
    """Stand in for Alpaca's paper hosts for the length of the block; yield the proxy's address.

    Parameters
    ----------
    port : int
        Loopback port of the proxy; 0 takes a free one.
    exchange_port : int
        Where the exchange listens, on loopback.
    authority : Path
        Where the authority's certificate is written, PEM; replaced when it is there.
    now : datetime
        Aware; from when the certificates hold.

    Raises
    ------
    OSError
        The port is taken.
    """
    trusted, certificate, key = certify(now)
    context = _tls(certificate, key)
    write_atomic(authority, trusted)
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _stand_in(reader, writer, context, exchange_port)

    door = loop.run_until_complete(asyncio.start_server(serve, LOOPBACK, port))
    thread = threading.Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{door.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(door.close)
        asyncio.run_coroutine_threadsafe(_end_connections(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_connections() -> None:
    """Cancel whatever still serves a program."""
    ours = asyncio.current_task()
    open_still = [task for task in asyncio.all_tasks() if task is not ours]
    for task in open_still:
        task.cancel()
    await asyncio.gather(*open_still, return_exceptions=True)
    for _ in range(2):
        await asyncio.sleep(0)  # a closed connection is given up in the loop's next rounds
