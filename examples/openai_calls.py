"""Calls of the OpenAI client that are paid for once: copy this file into your program, or run it.

    memory = retain.Memory("answers", verbose=0)
    answers = Answers(memory, ttl=30 * 24 * 3600, prices={"gpt-5.2": (1.75, 14.00)})
    client = openai.OpenAI(http_client=answers.client())
    ...  # the program as it was: create, parse, stream, in threads
    print(answers.report())

`openai.AsyncOpenAI(http_client=answers.async_client())` is the same for coroutines, and finds what
the other has asked. The calls are memoized below the client, where a request is a URL and some JSON:
so everything that the client can do works, and what it returns for a hit is what it would return
for the answer itself. A streamed answer is passed on as it comes, kept when it was whole, and
replayed with the same chunks.

- The key is the URL and the request: model, messages, all parameters. Headers, timeouts, the API key
  and the client do not count; none of them is ever stored.
- Kept are answers only: no errors, no refusals, nothing filtered, failed or broken off. An answer cut
  off by `max_tokens` is what was asked for, and is kept.
- Equal prompts at one time are one request, in threads, in tasks and across processes. Whoever asks for
  a stream that is on its way to another gets all of it when that is through.
- A hit is the same answer again. Where you want several, ask with `n=`, or tell them apart by `seed=`.

`python examples/openai_calls.py` shows it against a small server on this machine; no key is needed.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
import openai
import retain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    # The content type and the body of an answer. Plain data, whatever version of the client reads it one day.
    Answer = tuple[str, bytes]

KEPT = ("/chat/completions", "/responses", "/completions", "/embeddings", "/moderations")
# Who asks, and how the provider caches: neither changes the answer.
LABELS = {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
# A model fills in a schema in the order in which it is written, so the order of keys counts; not in these.
UNORDERED = {"messages", "input"}


class NotKept(Exception):  # noqa: N818 - no error: it carries an answer past the cache
    """Carries an answer that must not be kept past the cache, to all who wait for it."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        super().__init__(f"an answer that is not kept, status {status}")
        self.status, self.headers, self.body = status, headers, body


class BrokenOff(Exception):  # noqa: N818 - no error: somebody has heard enough
    """The caller stopped reading in the middle of a streamed answer."""


def ask(url: str, request: dict[str, str], send: Callable[[], Answer]) -> Answer:  # noqa: ARG001 - they are the key
    """Send a request: the function that is memoized."""
    return send()


async def ask_async(url: str, request: dict[str, str], send: Callable[[], Awaitable[Answer]]) -> Answer:  # noqa: ARG001
    """Send a request from a coroutine."""
    return await send()


# One name, and with `version=` no code that counts: what one client has asked, the other finds.
ask_async.__qualname__ = ask_async.__name__ = ask.__name__


# --- requests and answers -------------------------------------------------------------------------------------


class Question(NamedTuple):
    """A request as it is known to the cache."""

    url: str
    request: dict[str, str]
    model: str
    streamed: bool


def question(request: httpx2.Request) -> Question | None:
    """Return what a request asks, or None if its answer is not to be kept."""
    if request.method != "POST" or not request.url.path.endswith(KEPT):
        return None
    try:
        body = json.loads(request.content)
        acts = any(tool.get("type") == "mcp" for tool in body.get("tools") or ())
    except (ValueError, AttributeError, TypeError):
        return None
    if acts or body.get("conversation") or body.get("background"):
        return None  # it acts with somebody's credentials, changes a conversation, or is answered later
    if not body.get("stream"):
        body["stream"] = None  # left out, as is null
    parts = {
        name: json.dumps(value, sort_keys=name in UNORDERED)
        for name, value in body.items()
        if name not in LABELS and value is not None
    }
    if request.url.query:  # it may hold a secret, so its digest stands for it
        parts["?"] = retain.hash(request.url.query)
    url = f"{request.url.scheme}://{request.url.netloc.decode()}{request.url.path}"  # without user and password
    return Question(url, parts, str(body.get("model")), bool(body.get("stream")))


def is_last(data: bytes) -> bool:
    """Tell whether the data of an event say that a streamed answer ends with it."""
    try:
        return data == b"[DONE]" or json.loads(data).get("type") in {"response.completed", "response.incomplete"}
    except (ValueError, AttributeError):
        return False


def is_whole(body: bytearray) -> bool:
    """Tell whether the last event of a streamed answer is there."""
    return is_last(bytes(body[body.rfind(b"\ndata:") + 6 :]).strip())


def documents(kind: str, body: bytes) -> list[dict[str, Any]]:
    """Return the JSON documents of an answer; ValueError if it is not whole."""
    if not kind.startswith("text/event-stream"):
        return [json.loads(body)]
    data = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    if not data or not is_last(data[-1]):
        raise ValueError("the stream was broken off")
    found = [json.loads(item) for item in data if item != b"[DONE]"]
    return [found[-1]["response"]] if data[-1] != b"[DONE]" else found


def is_refusal(document: dict[str, Any]) -> bool:
    """Tell whether an answer, or a chunk of one, is none that is worth keeping."""
    if document.get("error"):
        return True
    for choice in document.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        if choice.get("finish_reason") == "content_filter" or said.get("refusal"):
            return True
    if document.get("object") == "response":
        details = document.get("incomplete_details") or {}
        if document.get("status") != "completed" and details.get("reason") != "max_output_tokens":
            return True
        contents = [part for item in document.get("output") or () for part in item.get("content") or ()]
        return any(part.get("type") == "refusal" for part in contents)
    return False


def is_worth_keeping(kind: str, body: bytes) -> bool:
    """Tell whether an answer is whole, and no refusal."""
    try:
        return not any(map(is_refusal, documents(kind, body)))
    except (ValueError, AttributeError, LookupError, TypeError):
        return False


def tokens(kind: str, body: bytes) -> tuple[int, int] | None:
    """Return the tokens in and out that an answer says it took, or None if it does not say."""
    try:
        usages = [document.get("usage") for document in documents(kind, body)]
    except (ValueError, AttributeError, LookupError, TypeError):
        return None
    for usage in reversed(usages):
        if usage:
            given = usage.get("prompt_tokens", usage.get("input_tokens", 0))
            made = usage.get("completion_tokens", usage.get("output_tokens", 0))
            return given, made
    return None


def answer(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """Return the answer if it is to be kept, and raise `NotKept` with it otherwise."""
    kind = next((value for name, value in headers if name == "content-type"), "")
    if status != httpx2.codes.OK or not is_worth_keeping(kind, body):
        raise NotKept(status, headers, body)
    return kind, body


def headers_of(response: httpx2.Response) -> list[tuple[str, str]]:
    """Return the headers without those on how the body was transferred, as it is decoded by now."""
    transfer = {"content-encoding", "content-length", "transfer-encoding"}
    return [(name.lower(), value) for name, value in response.headers.multi_items() if name.lower() not in transfer]


# --- the report -----------------------------------------------------------------------------------------------


class Line:
    """What was asked of one model."""

    def __init__(self) -> None:
        self.sent = self.kept = self.untold = 0
        self.paid, self.saved = [0, 0], [0, 0]


class Report:
    """Calls, tokens and money, by model."""

    def __init__(self, prices: Mapping[str, tuple[float, float]]) -> None:
        self.prices, self.lines = prices, dict[str, Line]()
        self._lock = threading.Lock()

    def count(self, model: str, *, sent: bool, kind: str, body: bytes) -> None:
        """Count a call that was answered."""
        used = tokens(kind, body)
        with self._lock:
            line = self.lines.setdefault(model, Line())
            line.sent += sent
            line.kept += not sent
            line.untold += used is None
            total = line.paid if sent else line.saved
            for index, number in enumerate(used or ()):
                total[index] += number

    def money(self, model: str, used: list[int]) -> float | None:
        """Return what some tokens cost, or None if the price is not known."""
        if model not in self.prices:
            return None
        return sum(price * number / 1e6 for price, number in zip(self.prices[model], used, strict=True))

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("model", "calls", "sent", "kept", "tokens paid", "tokens saved", "paid", "saved")
        ]
        totals = [0.0, 0.0]
        for model, line in sorted(self.lines.items()):
            costs = [self.money(model, used) for used in (line.paid, line.saved)]
            totals = [total + (cost or 0) for total, cost in zip(totals, costs, strict=True)]
            used = [f"{given:,} + {made:,}" for given, made in (line.paid, line.saved)]
            money = ["no price" if cost is None else f"{cost:,.4f}" for cost in costs]
            rows.append((model, str(line.sent + line.kept), str(line.sent), str(line.kept), *used, *money))
        rows.append(("total", *[""] * 5, *(f"{total:,.4f}" for total in totals)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        lines[1:1] = lines[-1:-1] = ["-" * len(lines[0])]
        untold = sum(line.untold for line in self.lines.values())
        if untold:
            lines.append(f"Calls whose tokens are not known: {untold}. A stream tells them with include_usage.")
        return "\n".join(lines)


# --- the transports -------------------------------------------------------------------------------------------


class Answers:
    """
    The answers of a `retain.Memory`, and clients that ask through it.

    Parameters
    ----------
    memory : retain.Memory
        Where they are kept.
    ttl : float, optional
        Seconds that an answer lives.
    prices : dict, optional
        By model, the price of a million tokens in and of a million tokens out.
    """

    def __init__(
        self, memory: Any, *, ttl: float | None = None, prices: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        options: dict[str, Any] = {"ignore": ["send"], "ttl": ttl, "track": "version", "version": "1"}
        self.ask = memory.cache(ask, **options)
        self.ask_async = memory.cache(ask_async, **options)
        self._report = Report(prices or {})

    def client(self, inner: httpx2.BaseTransport | None = None) -> httpx2.Client:
        """Return an HTTP client for `openai.OpenAI`, which sends what must be sent through `inner`."""
        inner = inner or httpx2.HTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS)
        return openai.DefaultHttpxClient(transport=Transport(self, inner))

    def async_client(self, inner: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
        """Return an HTTP client for `openai.AsyncOpenAI`, which sends what must be sent through `inner`."""
        inner = inner or httpx2.AsyncHTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS)
        return openai.DefaultAsyncHttpxClient(transport=AsyncTransport(self, inner))

    def report(self) -> str:
        """Return a table of the calls, tokens and money spent and saved by these clients."""
        return str(self._report)

    def respond(self, model: str, outcome: Answer | NotKept, *, sent: bool) -> httpx2.Response:
        """Return the response for a whole answer."""
        if isinstance(outcome, NotKept):
            status, headers, body = outcome.status, outcome.headers, outcome.body
        else:
            status, headers, body = 200, [("content-type", outcome[0])], outcome[1]
        if status == httpx2.codes.OK:
            self._report.count(model, sent=sent, kind=dict(headers).get("content-type", ""), body=body)
        return httpx2.Response(status, headers=headers, content=body)

    def streamed(self, model: str, body: bytes) -> None:
        """Count a streamed answer that was sent."""
        self._report.count(model, sent=True, kind="text/event-stream", body=body)


class Transport(httpx2.BaseTransport):
    """Sends requests whose answers are not known yet."""

    def __init__(self, answers: Answers, inner: httpx2.BaseTransport) -> None:
        self._answers, self._inner = answers, inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        request.read()
        asked = question(request)
        if asked is None:
            return self._inner.handle_request(request)
        return self._stream(asked, request) if asked.streamed else self._whole(asked, request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _whole(self, asked: Question, request: httpx2.Request) -> httpx2.Response:
        sent = False

        def send() -> Answer:
            nonlocal sent
            sent = True
            response = self._inner.handle_request(request)
            try:
                return answer(response.status_code, headers_of(response), response.read())
            finally:
                response.close()

        outcome: Answer | NotKept
        try:
            outcome = self._answers.ask(asked.url, asked.request, send)
        except NotKept as carried:
            outcome = carried
        return self._answers.respond(asked.model, outcome, sent=sent)

    def _stream(self, asked: Question, request: httpx2.Request) -> httpx2.Response:
        while True:
            passing = Passing(self._answers, self._inner, asked, request)
            first = passing.first()
            if isinstance(first, list):
                return httpx2.Response(200, headers=first, stream=passing)
            if not isinstance(first, BrokenOff):  # another caller's; this one asks again
                return self._answers.respond(asked.model, first, sent=passing.sent)


class Passing(httpx2.SyncByteStream):
    """
    A streamed answer that is passed on as it comes.

    A thread asks, so that the answer is kept when it is whole, however fast or slowly it is read here.
    """

    def __init__(self, answers: Answers, inner: httpx2.BaseTransport, asked: Question, request: httpx2.Request) -> None:
        self._answers, self._inner, self._asked, self._request = answers, inner, asked, request
        self._parts: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped, self._whole = threading.Event(), threading.Event()
        self.sent = False
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._parts.put(self._answers.ask(self._asked.url, self._asked.request, self._send))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the answer is read
            self._parts.put(error)

    def _send(self) -> Answer:
        self.sent = True
        response = self._inner.handle_request(self._request)
        try:
            headers = headers_of(response)
            if response.status_code != httpx2.codes.OK:
                raise NotKept(response.status_code, headers, response.read())
            self._parts.put(headers)
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if is_whole(body):
                    self._whole.set()
                self._parts.put(part)
                if self._stopped.is_set() and not self._whole.is_set():
                    raise BrokenOff
            self._answers.streamed(self._asked.model, bytes(body))
            return answer(200, headers, bytes(body))
        finally:
            response.close()

    def first(self) -> Any:
        """Return the headers of an answer that is sent, or all of one that was kept or is not."""
        try:
            found = self._parts.get()
        except BaseException:
            self._stopped.set()
            raise
        if isinstance(found, BaseException) and not isinstance(found, NotKept | BrokenOff):
            raise found
        return found

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(part := self._parts.get(), bytes):
            yield part
        if isinstance(part, BaseException) and not isinstance(part, NotKept):
            raise part

    def close(self) -> None:
        """End it; a whole answer is kept first, another one is not read further."""
        self._stopped.set()
        if self._whole.is_set():
            self._thread.join()


class AsyncTransport(httpx2.AsyncBaseTransport):
    """Sends requests of coroutines whose answers are not known yet."""

    def __init__(self, answers: Answers, inner: httpx2.AsyncBaseTransport) -> None:
        self._answers, self._inner = answers, inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        await request.aread()
        asked = question(request)
        if asked is None:
            return await self._inner.handle_async_request(request)
        return await (self._stream(asked, request) if asked.streamed else self._whole(asked, request))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _whole(self, asked: Question, request: httpx2.Request) -> httpx2.Response:
        sent = False

        async def send() -> Answer:
            nonlocal sent
            sent = True
            response = await self._inner.handle_async_request(request)
            try:
                return answer(response.status_code, headers_of(response), await response.aread())
            finally:
                await response.aclose()

        outcome: Answer | NotKept
        try:
            outcome = await self._answers.ask_async(asked.url, asked.request, send)
        except NotKept as carried:
            outcome = carried
        return self._answers.respond(asked.model, outcome, sent=sent)

    async def _stream(self, asked: Question, request: httpx2.Request) -> httpx2.Response:
        while True:
            passing = AsyncPassing(self._answers, self._inner, asked, request)
            first = await passing.first()
            if isinstance(first, list):
                return httpx2.Response(200, headers=first, stream=passing)
            if not isinstance(first, BrokenOff):
                return self._answers.respond(asked.model, first, sent=passing.sent)


class AsyncPassing(httpx2.AsyncByteStream):
    """A streamed answer that is passed on as it comes, by a task that asks."""

    def __init__(
        self, answers: Answers, inner: httpx2.AsyncBaseTransport, asked: Question, request: httpx2.Request
    ) -> None:
        self._answers, self._inner, self._asked, self._request = answers, inner, asked, request
        self._parts: asyncio.Queue[Any] = asyncio.Queue()
        self._stopped = self._whole = self.sent = False
        self._task = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        try:
            self._parts.put_nowait(await self._answers.ask_async(self._asked.url, self._asked.request, self._send))
        except Exception as error:  # noqa: BLE001 - it is raised again where the answer is read
            self._parts.put_nowait(error)

    async def _send(self) -> Answer:
        self.sent = True
        response = await self._inner.handle_async_request(self._request)
        try:
            headers = headers_of(response)
            if response.status_code != httpx2.codes.OK:
                raise NotKept(response.status_code, headers, await response.aread())
            self._parts.put_nowait(headers)
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                self._whole = self._whole or is_whole(body)
                self._parts.put_nowait(part)
                if self._stopped and not self._whole:
                    raise BrokenOff
            self._answers.streamed(self._asked.model, bytes(body))
            return answer(200, headers, bytes(body))
        finally:
            await response.aclose()

    async def first(self) -> Any:
        """Return the headers of an answer that is sent, or all of one that was kept or is not."""
        try:
            found = await self._parts.get()
        except BaseException:
            self._stopped = True
            raise
        if isinstance(found, Exception) and not isinstance(found, NotKept | BrokenOff):
            raise found
        return found

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(part := await self._parts.get(), bytes):
            yield part
        if isinstance(part, Exception) and not isinstance(part, NotKept):
            raise part

    async def aclose(self) -> None:
        """End it; a whole answer is kept first, another one is not read further."""
        self._stopped = True
        if self._whole:
            await asyncio.shield(self._task)


# --- shown against a small server -----------------------------------------------------------------------------


def main() -> None:
    """Ask a small server on this machine in all ways, and print the report."""
    import tempfile  # noqa: PLC0415 - what follows is left out of a copy

    from openai_server import Server  # noqa: PLC0415

    prompt = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        answers = Answers(retain.Memory(folder, verbose=0), ttl=30 * 24 * 3600, prices={"gpt-5.2": (1.75, 14.00)})
        with openai.OpenAI(base_url=server.url, api_key="a secret", http_client=answers.client()) as client:
            for _ in range(2):
                print(client.chat.completions.create(**prompt).choices[0].message.content)  # type: ignore[call-overload]
            for _ in range(2):
                with client.chat.completions.create(**prompt, stream=True) as stream:  # type: ignore[call-overload]
                    print("|".join(chunk.choices[0].delta.content or "" for chunk in stream))
        asyncio.run(ask_at_once(answers, server.url, prompt))
        print(f"{len(server.requests)} requests arrived.\n\n{answers.report()}")


async def ask_at_once(answers: Answers, url: str, prompt: dict[str, Any]) -> None:
    """Ask 50 equal questions in tasks."""
    async with openai.AsyncOpenAI(base_url=url, api_key="a secret", http_client=answers.async_client()) as client:
        calls = [client.chat.completions.create(**prompt, temperature=0.5) for _ in range(50)]
        said = {answer.choices[0].message.content for answer in await asyncio.gather(*calls)}
    print(f"50 tasks at once were told: {said}")


if __name__ == "__main__":
    main()
