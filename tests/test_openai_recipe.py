"""`examples/openai_calls.py` with the real client, against a small server on this machine."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import openai
import pydantic
import pytest
import retain

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))
from openai_calls import Answers  # noqa: E402
from openai_server import Server  # noqa: E402

KEY = "sk-a-secret-that-nobody-should-find"
MODEL = "gpt-5.2"


def asked(prompt, **parameters):
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **parameters}


def message(result):
    return result.choices[0].message


@pytest.fixture
def server():
    with Server() as server:
        yield server
        server.gate.set()


@pytest.fixture
def memory(tmp_path, request):
    return retain.Memory(tmp_path / "store", verbose=0, layout=getattr(request, "param", "auto"))


LAYOUTS = pytest.mark.parametrize(
    ("memory", "layout"), [("indexed", "indexed"), ("plain", "plain")], indirect=["memory"]
)


@pytest.fixture
def answers(memory):
    return Answers(memory, prices={MODEL: (2.0, 10.0)})


@pytest.fixture
def client(answers, server):
    with new_client(answers, server) as client:
        yield client


# Certificates take longer to load than a test takes; there are none on this machine's own network.


def new_client(answers, server, **options):
    options = {"api_key": KEY, "base_url": server.url, "max_retries": 0, **options}
    return openai.OpenAI(http_client=answers.client(httpx2.HTTPTransport(verify=False)), **options)


def new_async_client(answers, server):
    http = answers.async_client(httpx2.AsyncHTTPTransport(verify=False))
    return openai.AsyncOpenAI(http_client=http, api_key=KEY, base_url=server.url, max_retries=0)


def chat(client, prompt, streamed=False, **parameters):
    """Ask chat/completions, and return all that came, as plain data."""
    result = client.chat.completions.create(**asked(prompt, **parameters), stream=streamed)
    return [chunk.to_dict() for chunk in result] if streamed else result.to_dict()


def responses(client, prompt, streamed=False, **parameters):
    """Ask responses, and return all that came, as plain data."""
    result = client.responses.create(model=MODEL, input=prompt, stream=streamed, **parameters)
    return [event.to_dict() for event in result] if streamed else result.to_dict()


async def chat_async(client, prompt, streamed=False, **parameters):
    result = await client.chat.completions.create(**asked(prompt, **parameters), stream=streamed)
    return [chunk.to_dict() async for chunk in result] if streamed else result.to_dict()


async def responses_async(client, prompt, streamed=False, **parameters):
    result = await client.responses.create(model=MODEL, input=prompt, stream=streamed, **parameters)
    return [event.to_dict() async for event in result] if streamed else result.to_dict()


WAYS = pytest.mark.parametrize("ask", [chat, responses])
ASYNC_WAYS = pytest.mark.parametrize("ask", [chat_async, responses_async])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


# --- what a hit is --------------------------------------------------------------------------------------------


@WAYS
@STREAMED
def test_an_equal_call_is_answered_without_a_request(client, server, ask, streamed):
    first = ask(client, "What is a cache?", streamed)
    assert ask(client, "What is a cache?", streamed) == first
    assert "Answer 1" in str(first)
    assert len(server.requests) == 1


@ASYNC_WAYS
@STREAMED
def test_an_equal_call_of_the_async_client_is_answered_without_a_request(answers, server, ask, streamed):
    async def twice():
        async with new_async_client(answers, server) as client:
            return [await ask(client, "What is a cache?", streamed) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second
    assert "Answer 1" in str(first)
    assert len(server.requests) == 1


@STREAMED
def test_what_one_client_asked_the_async_one_finds(answers, client, server, streamed):
    async def ask():
        async with new_async_client(answers, server) as other:
            return await chat_async(other, "Asked once", streamed)

    first = chat(client, "Asked once", streamed)
    assert asyncio.run(ask()) == first
    assert len(server.requests) == 1


def test_a_hit_has_the_types_of_an_answer_and_is_nobody_elses(client):
    first = client.chat.completions.create(**asked("Who?"))
    first.choices[0].message.content = "changed by its owner"
    second = client.chat.completions.create(**asked("Who?"))
    assert type(second) is type(first)
    assert message(second).content == "Answer 1: you said 1 words."


class Weather(pydantic.BaseModel):
    city: str


def test_the_helpers_of_the_client_work_on_hits(client, server):
    for _ in range(2):
        assert client.with_options(timeout=5).responses.parse(model=MODEL, input="text").output_text
        with client.chat.completions.stream(**asked("a helper")) as stream:
            assert stream.get_final_completion().choices[0].message.content == "Answer 2: you said 2 words."
        raw = client.chat.completions.with_raw_response.create(**asked("raw"))
        assert message(raw.parse()).content == "Answer 3: you said 1 words."
        with pytest.raises(pydantic.ValidationError):  # the server says words and no JSON
            client.chat.completions.parse(**asked("parsed"), response_format=Weather)
    assert len(server.requests) == 4


@LAYOUTS
def test_another_process_finds_the_answers(client, server, memory, layout):
    first = chat(client, "Kept on disk?")
    program = (
        "import openai, retain, sys; sys.path.insert(0, sys.argv[1]); from openai_calls import Answers\n"
        "answers = Answers(retain.Memory(sys.argv[2], verbose=0, layout=sys.argv[5]))\n"
        "client = openai.OpenAI(base_url=sys.argv[3], api_key='another', http_client=answers.client())\n"
        "print(client.chat.completions.create(**eval(sys.argv[4])).choices[0].message.content)\n"
    )
    arguments = [str(EXAMPLES), str(memory.location), server.url, repr(asked("Kept on disk?")), layout]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50)
    assert done.stdout.strip() == first["choices"][0]["message"]["content"]
    assert len(server.requests) == 1


# --- the key --------------------------------------------------------------------------------------------------


SCHEMA = {"type": "object", "properties": {"thought": {"type": "string"}, "answer": {"type": "string"}}}
TURNED = {"type": "object", "properties": {"answer": {"type": "string"}, "thought": {"type": "string"}}}


def schema(which):
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": which}}


COUNTS = {
    "model": ({}, {"model": "gpt-5.2-mini"}),
    "messages": ({}, {"messages": [{"role": "user", "content": "Other"}]}),
    "role": ({}, {"messages": [{"role": "system", "content": "Equal"}]}),
    "temperature": ({"temperature": 0}, {"temperature": 1}),
    "left out": ({}, {"temperature": 1}),
    "max_tokens": ({"max_completion_tokens": 5}, {"max_completion_tokens": 6}),
    "seed": ({"seed": 1}, {"seed": 2}),
    "n": ({}, {"n": 2}),
    "stop": ({}, {"stop": ["."]}),
    "reasoning": ({"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
    "tools": ({}, {"tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]}),
    "order in a schema": ({"response_format": schema(SCHEMA)}, {"response_format": schema(TURNED)}),
    "extra_body": ({}, {"extra_body": {"top_k": 3}}),
    "extra_query": ({}, {"extra_query": {"version": "2"}}),
    "streamed usage": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_what_changes_the_answer_counts(client, server, name):
    for difference in COUNTS[name]:
        result = client.chat.completions.create(**{**asked("Equal"), **difference})
        if difference.get("stream"):
            list(result)
    assert len(server.requests) == 2


def test_what_does_not_change_the_answer_does_not_count(answers, server):
    same = asked("Equal", temperature=0.5)
    with new_client(answers, server) as client:
        client.chat.completions.create(**same)
        client.chat.completions.create(**dict(reversed(same.items())))
        client.chat.completions.create(**{**same, "messages": [{"content": "Equal", "role": "user"}]})
        client.chat.completions.create(**same, stream=False, seed=None)
        client.chat.completions.create(**same, timeout=7)
        client.chat.completions.create(**same, extra_headers={"x-trace": "1234"})
        client.chat.completions.create(**same, user="somebody", safety_identifier="hash", prompt_cache_key="k")
        client.with_options(timeout=3, max_retries=5).chat.completions.create(**same)
    others = {"api_key": "sk-another", "organization": "org", "project": "proj"}
    with new_client(answers, server, **others, default_headers={"x-team": "b"}) as client:
        client.chat.completions.create(**same)
    assert len(server.requests) == 1


def test_another_server_is_another_question(answers, server, client):
    with Server() as second, new_client(answers, second) as other:
        chat(client, "Who are you?")
        chat(other, "Who are you?")
        assert (len(server.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://example.com", "authorization": KEY}]},
        {"conversation": "conv_1"},
        {"background": True},
    ],
    ids=["credentials in tools", "a conversation", "in the background"],
)
def test_what_is_more_than_a_question_is_always_sent(client, server, parameters):
    for _ in range(2):
        responses(client, "Equal", **parameters)
    assert len(server.requests) == 2


@LAYOUTS
def test_secrets_are_neither_in_the_key_nor_in_the_store(answers, server, memory, layout):
    hidden = {
        "api_key": KEY,
        "organization": "org-that-nobody-should-find",
        "default_headers": {"x-token": "header-that-nobody-should-find"},
        "default_query": {"code": "query-that-nobody-should-find"},
        "base_url": server.url.replace("//", "//name:password-that-nobody-should-find@"),
    }
    with new_client(answers, server, **hidden) as client:
        for streamed in (False, True):
            chat(client, "A prompt to be found", streamed, extra_headers={"cookie": "cookie-that-nobody-should-find"})
            chat(client, "refuse this", streamed)
    folder = memory.location
    files = [path for path in folder.rglob("*") if path.is_file()]
    everything = b"".join(str(path).encode() + path.read_bytes() for path in files)
    assert b"chat.completion" in everything  # the answers are there, and not compressed
    assert b"should-find" not in everything
    assert b"should-find" not in repr([server.requests[0].body]).encode()
    assert any("should-find" in str(request.headers) for request in server.requests)


# --- what is not kept -----------------------------------------------------------------------------------------


@WAYS
@STREAMED
@pytest.mark.parametrize(("mood", "error"), [("busy", openai.RateLimitError), ("fail", openai.InternalServerError)])
def test_errors_are_raised_and_not_kept(client, server, ask, streamed, mood, error):
    for _ in range(2):
        with pytest.raises(error, match="as you asked"):
            ask(client, f"{mood} please", streamed)
    assert len(server.requests) == 2


@ASYNC_WAYS
@STREAMED
def test_errors_of_the_async_client_are_raised_and_not_kept(answers, server, ask, streamed):
    async def twice():
        async with new_async_client(answers, server) as client:
            for _ in range(2):
                with pytest.raises(openai.RateLimitError, match="as you asked"):
                    await ask(client, "busy please", streamed)

    asyncio.run(twice())
    assert len(server.requests) == 2


@STREAMED
def test_the_client_tries_again_as_it_always_does(answers, server, streamed):
    with new_client(answers, server, max_retries=2) as client, pytest.raises(openai.RateLimitError):
        chat(client, "busy please", streamed)
    assert len(server.requests) == 3


@STREAMED
def test_a_call_that_ran_out_of_time_is_asked_again(client, server, streamed):
    server.gate.clear()
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.2), "Too slow", streamed)
    server.gate.set()
    assert "words" in str(chat(client, "Too slow", streamed))
    assert len(server.requests) == 2


@STREAMED
def test_a_server_that_is_not_there_is_an_error_of_the_connection(answers, streamed):
    with Server() as gone:
        url = gone.url
    with openai.OpenAI(http_client=answers.client(), api_key=KEY, base_url=url, max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(openai.APIConnectionError):
                chat(client, "Anybody?", streamed)


@WAYS
@STREAMED
@pytest.mark.parametrize("mood", ["refuse", "filter"])
def test_refusals_are_returned_and_not_kept(client, server, ask, streamed, mood):
    for number in (1, 2):
        result = ask(client, f"{mood} please", streamed)
        assert "I cannot help" in str(result) or "content_filter" in str(result)
        assert f"chatcmpl-{number}" in str(result) or f"resp_{number}" in str(result)
    assert len(server.requests) == 2


@ASYNC_WAYS
@STREAMED
def test_refusals_to_the_async_client_are_returned_and_not_kept(answers, server, ask, streamed):
    async def twice():
        async with new_async_client(answers, server) as client:
            return [await ask(client, "refuse please", streamed) for _ in range(2)]

    assert "I cannot help" in str(asyncio.run(twice())[1])
    assert len(server.requests) == 2


@WAYS
@STREAMED
def test_an_answer_cut_off_at_the_tokens_asked_for_is_kept(client, server, ask, streamed):
    first = ask(client, "truncate please", streamed)
    assert ask(client, "truncate please", streamed) == first
    assert len(server.requests) == 1


def test_an_answer_lives_for_its_ttl(memory, server):
    with new_client(Answers(memory, ttl=0.3), server) as client:
        first = chat(client, "How long?")
        time.sleep(0.4)
        assert chat(client, "How long?") != first
    assert len(server.requests) == 2


# --- streams --------------------------------------------------------------------------------------------------


def test_a_stream_is_passed_on_as_it_comes(client, server):
    server.gate.clear()  # the server stops after two events
    with client.chat.completions.create(**asked("Slowly"), stream=True) as stream:
        begun = [next(stream), next(stream)]
        server.gate.set()
        whole = [chunk.to_dict() for chunk in (*begun, *stream)]
    assert chat(client, "Slowly", streamed=True) == whole
    assert len(server.requests) == 1


def test_a_stream_is_passed_on_to_a_coroutine_as_it_comes(answers, server):
    async def ask():
        async with new_async_client(answers, server) as client:
            server.gate.clear()
            stream = await client.chat.completions.create(**asked("Slowly"), stream=True)
            begun = [await anext(stream), await anext(stream)]
            server.gate.set()
            whole = [chunk.to_dict() for chunk in begun] + [chunk.to_dict() async for chunk in stream]
            assert await chat_async(client, "Slowly", streamed=True) == whole

    asyncio.run(ask())
    assert len(server.requests) == 1


@WAYS
def test_a_stream_that_the_server_breaks_off_is_not_kept(client, server, ask):
    for _ in range(2):
        with pytest.raises(openai.APIError):
            ask(client, "break please", streamed=True)
    assert len(server.requests) == 2


@ASYNC_WAYS
def test_a_stream_to_a_coroutine_that_the_server_breaks_off_is_not_kept(answers, server, ask):
    async def twice():
        async with new_async_client(answers, server) as client:
            for _ in range(2):
                with pytest.raises(openai.APIError):
                    await ask(client, "break please", streamed=True)

    asyncio.run(twice())
    assert len(server.requests) == 2


def test_a_stream_that_the_caller_breaks_off_is_not_kept(client, server):
    server.gate.clear()
    with client.chat.completions.create(**asked("Enough"), stream=True) as stream:
        next(stream)
    server.gate.set()
    assert "words" in str(chat(client, "Enough", streamed=True))
    assert len(server.requests) == 2


def test_a_stream_that_a_coroutine_breaks_off_is_not_kept(answers, server):
    async def ask():
        async with new_async_client(answers, server) as client:
            server.gate.clear()
            async with await client.chat.completions.create(**asked("Enough"), stream=True) as stream:
                await anext(stream)
            server.gate.set()
            assert "words" in str(await chat_async(client, "Enough", streamed=True))

    asyncio.run(ask())
    assert len(server.requests) == 2


def test_who_waits_for_a_stream_that_another_breaks_off_asks_again(client, server):
    server.gate.clear()
    with ThreadPoolExecutor() as pool:
        with client.chat.completions.create(**asked("Enough"), stream=True) as stream:
            next(stream)
            waiting = pool.submit(chat, client, "Enough", streamed=True)
            time.sleep(0.1)
        server.gate.set()
        assert "words" in str(waiting.result(timeout=20))
    assert len(server.requests) == 2


# --- at once --------------------------------------------------------------------------------------------------


def open_when_asked(server):
    """Let the server answer once a request is there, and the other callers had time to ask as well."""
    assert server.arrived.acquire(timeout=20)
    time.sleep(0.2)
    server.gate.set()


@WAYS
@STREAMED
def test_fifty_equal_prompts_in_threads_are_one_request(client, server, ask, streamed):
    server.gate.clear()
    barrier = threading.Barrier(50)

    def one():
        barrier.wait(timeout=20)
        return ask(client, "All at once", streamed)

    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(one) for _ in range(50)]
        open_when_asked(server)
        results = [call.result(timeout=20) for call in calls]
    assert all(result == results[0] for result in results)
    assert len(server.requests) == 1


@ASYNC_WAYS
@STREAMED
def test_fifty_equal_prompts_in_tasks_are_one_request(answers, server, ask, streamed):
    async def many():
        async with new_async_client(answers, server) as client:
            server.gate.clear()
            tasks = [asyncio.create_task(ask(client, "All at once", streamed)) for _ in range(50)]
            await asyncio.to_thread(open_when_asked, server)
            return await asyncio.gather(*tasks)

    results = asyncio.run(many())
    assert all(result == results[0] for result in results)
    assert len(server.requests) == 1


@STREAMED
def test_a_task_that_is_cancelled_leaves_the_others_their_answer(answers, server, streamed):
    async def ask():
        async with new_async_client(answers, server) as client:
            server.gate.clear()
            tasks = [asyncio.create_task(chat_async(client, "All at once", streamed)) for _ in range(3)]
            await asyncio.to_thread(server.arrived.acquire, timeout=20)
            tasks[0].cancel()
            server.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    cancelled, *others = asyncio.run(ask())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert "words" in str(others[0])
    assert others[0] == others[1]


@pytest.mark.parametrize("mood", ["refuse", "busy"])
def test_who_waits_for_what_is_not_kept_is_told_it_too(client, server, mood):
    def one(_):
        try:
            return str(message(client.chat.completions.create(**asked(f"{mood} all"))))
        except openai.RateLimitError as error:
            return str(error)

    server.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(one, number) for number in range(20)]
        open_when_asked(server)
        results = {call.result(timeout=20) for call in calls}
    assert len(results) == 1
    assert "I cannot" in str(results) or "as you asked" in str(results)


def test_different_prompts_do_not_wait_for_each_other(client, server):
    server.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(chat, client, f"prompt {number}") for number in range(8)]
        assert all(server.arrived.acquire(timeout=20) for _ in range(8))
        server.gate.set()
        assert len({str(call.result(timeout=20)) for call in calls}) == 8


# --- the report -----------------------------------------------------------------------------------------------


def test_the_report_counts_calls_tokens_and_money(answers, client):
    for _ in range(5):
        chat(client, "one two three")
    chat(client, "four", streamed=True)
    chat(client, "five", streamed=True, stream_options={"include_usage": True})
    chat(client, "x", model="unpriced")
    for _ in range(2):
        with pytest.raises(openai.RateLimitError):
            chat(client, "busy please")
    report = answers.report()
    line = next(line for line in report.splitlines() if line.startswith(MODEL)).split("  ")
    # 3 + 4 tokens a call, 2 and 10 a million; one stream told its tokens, 1 + 4, and the other did not.
    assert [cell.strip() for cell in line if cell] == [
        MODEL, "7", "3", "4", "4 + 8", "12 + 16", "0.0001", "0.0002",
    ]  # fmt: skip
    assert "no price" in report
    assert "not known: 1." in report
    assert len({len(line) for line in report.splitlines()[:-1]}) == 1


def test_a_call_that_fails_costs_nothing(answers, client):
    with pytest.raises(openai.InternalServerError):
        chat(client, "fail please")
    assert MODEL not in answers.report()


def test_the_example_runs():
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "openai_calls.py")],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "3 requests arrived" in done.stdout
