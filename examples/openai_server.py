"""A small server on this machine that speaks as much of OpenAI's API as `openai_calls.py` is shown and tested with.

It knows no model: it answers a prompt by counting its words, so that equal requests are told from each other by the
number of the answer. A prompt that begins with one of the words in `MOODS` is treated accordingly.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

MOODS = {"refuse", "filter", "truncate", "break", "busy", "fail"}
STATUS = {"busy": 429, "fail": 500}


class Request(NamedTuple):
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Server:
    """
    The server; a context manager that ends it.

    Attributes
    ----------
    requests : list of Request
        What arrived.
    arrived : threading.Semaphore
        Released once for each request.
    gate : threading.Event
        No request is answered, and no stream goes on after its first words, before this is set. It is set at first.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.api = self
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.gate.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def note(self, request: Request) -> int:
        """Note a request and return its number, from 1."""
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
        self.arrived.release()
        return number


def prompt_of(body: dict[str, Any]) -> str:
    """Return the last thing that was said."""
    said = body["messages"][-1]["content"] if "messages" in body else body["input"]
    return str(said)


def chat(number: int, body: dict[str, Any], words: list[str], mood: str) -> dict[str, Any]:
    """Return an answer of chat/completions."""
    reason = {"filter": "content_filter", "truncate": "length"}.get(mood, "stop")
    text = "".join(words)
    message = {"role": "assistant", "content": None if mood == "refuse" else text}
    message["refusal"] = "I cannot help with that." if mood == "refuse" else None
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": chat_usage(body, words),
    }


def chat_usage(body: dict[str, Any], words: list[str]) -> dict[str, int]:
    """Return what chat/completions says of tokens: a word is one."""
    given = len(prompt_of(body).split())
    return {"prompt_tokens": given, "completion_tokens": len(words), "total_tokens": given + len(words)}


def chat_events(number: int, body: dict[str, Any], words: list[str], mood: str) -> Iterator[str]:
    """Yield a streamed answer of chat/completions."""
    whole = chat(number, body, words, mood)
    choice = whole["choices"][0]
    base = {name: whole[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def event(delta: dict[str, Any], reason: str | None = None) -> str:
        chunk = base | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        return f"data: {json.dumps(chunk)}\n\n"

    yield event({"role": "assistant", "content": ""})
    if mood == "refuse":
        yield event({"refusal": choice["message"]["refusal"]})
    else:
        for word in words:
            yield event({"content": word})
    yield event({}, choice["finish_reason"])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield f"data: {json.dumps(base | {'choices': [], 'usage': whole['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def response(number: int, body: dict[str, Any], words: list[str], mood: str) -> dict[str, Any]:
    """Return an answer of responses."""
    content: dict[str, Any] = {"type": "output_text", "text": "".join(words), "annotations": []}
    if mood == "refuse":
        content = {"type": "refusal", "refusal": "I cannot help with that."}
    cut = {"filter": "content_filter", "truncate": "max_output_tokens"}.get(mood)
    given = len(prompt_of(body).split())
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_800_000_000,
        "model": body["model"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "error": None,
        "output": [
            {"type": "message", "id": "msg", "status": "completed", "role": "assistant", "content": [content]},
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": len(words),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given + len(words),
        },
    }


def response_events(number: int, body: dict[str, Any], words: list[str], mood: str) -> Iterator[str]:
    """Yield a streamed answer of responses."""
    whole = response(number, body, words, mood)
    begun = whole | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    place = {"item_id": "msg", "output_index": 0, "content_index": 0}
    last = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    events += [{"type": "response.output_text.delta", "delta": word, "logprobs": [], **place} for word in words]
    events += [{"type": last, "response": whole}]
    for order, event in enumerate(events):
        yield f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': order})}\n\n"


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that have gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        api: Server = self.server.api
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.partition("?")[0]
        number = api.note(Request(path, headers, body))
        first = prompt_of(body).partition(" ")[0]
        mood = first if first in MOODS else ""
        words = [f"Answer {number}: ", "you said ", f"{len(prompt_of(body).split())} ", "words."]
        if mood in STATUS:
            api.gate.wait()
            self._send(STATUS[mood], {"error": {"message": f"{mood}, as you asked", "type": mood, "code": None}})
        elif body.get("stream"):
            make = chat_events if path.endswith("/chat/completions") else response_events
            self._stream(list(make(number, body, words, mood)), api, breaks=mood == "break")
        else:
            api.gate.wait()
            make_whole = chat if path.endswith("/chat/completions") else response
            self._send(200, make_whole(number, body, words, mood))

    def _send(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("set-cookie", "session=a-cookie-that-nobody-should-find")
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[str], api: Server, *, breaks: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("set-cookie", "session=a-cookie-that-nobody-should-find")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for order, event in enumerate(events):
            if order == 2:  # something has been said by then
                api.gate.wait()
                if breaks:
                    self.close_connection = True
                    return
            data = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
