"""A mail server that takes nothing but what the RFCs allow, and says what they forbid."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Transaction:
    """One mail transaction (RFC 5321, 3.3)."""

    sender: str = ""
    to: str = ""
    options: set[str] = field(default_factory=set)


@dataclass
class StrictServer:
    """RFC 5321 by the letter, with or without SMTPUTF8, 8BITMIME and SIZE; keeps what it took, and each breach."""

    smtputf8: bool = True
    eightbitmime: bool = True
    size: int = 0
    mails: list[tuple[str, str, bytes]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 strict\r\n")
        transaction = Transaction()
        while line := await reader.readline():
            self._line(line, 1024, ascii_only=b"@" not in line)
            command, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            answer = "250 ok"
            match command.upper():
                case "EHLO":
                    answer = "\r\n".join([*(f"250-{name}" for name in self._offers()), "250 HELP"])
                case "MAIL":
                    transaction = self._mail(rest)
                case "RCPT":
                    transaction.to = self._path(rest.removeprefix("TO:"), transaction.options)
                case "DATA":
                    writer.write(b"354 go\r\n")
                    self._data(await self._read_data(reader, transaction.options), transaction)
                case "QUIT":
                    break
            writer.write(f"{answer}\r\n".encode())
        writer.close()

    def _offers(self) -> list[str]:
        size = [f"SIZE {self.size}"] if self.size else []
        return ["strict", *size, *["SMTPUTF8"] * self.smtputf8, *["8BITMIME"] * self.eightbitmime]

    def _mail(self, rest: str) -> Transaction:
        path, *options = rest.removeprefix("FROM:").split(" ")
        offered = {"SMTPUTF8"} if self.smtputf8 else set()
        offered |= {"BODY=8BITMIME"} if self.eightbitmime else set()
        if set(options) - offered:
            self.breaches.append(f"options that were not offered: {set(options) - offered}")
        return Transaction(self._path(path, set(options)), options=set(options))

    def _path(self, path: str, options: set[str]) -> str:
        if not path.isascii() and "SMTPUTF8" not in options:
            self.breaches.append(f"an address beyond ASCII: {path}")
        return path.strip("<>")

    async def _read_data(self, reader: asyncio.StreamReader, options: set[str]) -> bytes:
        raw = b""
        while (line := await reader.readline()) != b".\r\n" and line:
            self._line(line, 1000, ascii_only="SMTPUTF8" not in options)
            raw += line[1:] if line.startswith(b"..") else line
        return raw

    def _data(self, raw: bytes, transaction: Transaction) -> None:
        if not raw.partition(b"\r\n\r\n")[2].isascii() and "BODY=8BITMIME" not in transaction.options:
            self.breaches.append("a body of eight bits")
        if self.size and len(raw) > self.size:
            self.breaches.append(f"{len(raw)} bytes")
        self.mails.append((transaction.sender, transaction.to, raw))

    def _line(self, line: bytes, limit: int, *, ascii_only: bool) -> None:
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self.breaches.append(f"a line that ends otherwise: {line[-20:]!r}")
        if len(line) > limit:
            self.breaches.append(f"a line of {len(line)} bytes")
        if b"\0" in line:
            self.breaches.append("a NUL")
        if ascii_only and not line.isascii():
            self.breaches.append(f"beyond ASCII: {line[:80]!r}")


@asynccontextmanager
async def strict_server(
    *, smtputf8: bool = True, eightbitmime: bool = True, size: int = 0
) -> AsyncIterator[StrictServer]:
    server = StrictServer(smtputf8, eightbitmime, size)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
