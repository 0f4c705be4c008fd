"""A scripted model API on loopback: a fake, but complete enough for real agents to work against.

Speaks Anthropic's Messages API (`POST /v1/messages`) and OpenAI's Responses API
(`POST /v1/responses`), both streaming as server-sent events. What it answers follows from the
conversation that each request carries, not from how many requests came before: agents also ask for
titles, probe and retry.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CHUNK = 12
"""Characters of one delta: several to a sentence, as models stream."""


@dataclass(frozen=True)
class Say:
    """The model says something. `forever`: it never comes to an end, so only an interrupt helps."""

    text: str
    forever: bool = False


@dataclass(frozen=True)
class Call:
    """The model calls a tool: with a JSON object, or with free text where the tool takes that."""

    tool: str
    arguments: Mapping[str, Any] | str


Step = Say | Call
Wire = dict[str, Any]
OTHERWISE = Say("ok")
"""The answer to what is not in the script."""


@dataclass(frozen=True)
class Asked:
    """A request for a model's turn, and what was answered."""

    path: str
    body: Wire
    prompt: str
    """The prompt of the script that the conversation is about; empty when there is none."""
    results: list[str]
    """What the tools that were called since that prompt have answered."""
    answer: Step


class ModelApi:
    """`script` maps a prompt to the model's steps: the first at once, one more per tool result."""

    def __init__(self, script: Mapping[str, Sequence[Step]]) -> None:
        self.script = script
        self._known = {_bare(prompt): prompt for prompt in script}
        self.requests: list[Asked] = []
        self.unknown: list[str] = []
        """Requests for anything else, as `METHOD path`."""
        self.abandoned = asyncio.Event()
        """Set when an agent hung up while an answer was under way."""
        self.app = Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/{path:path}", self._not_here, methods=["GET", "HEAD", "POST"]),
            ]
        )

    def about(self, prompt: str) -> list[Asked]:
        """The requests that came for a prompt, without the agent's own side questions."""
        return [a for a in self.requests if a.prompt == prompt and a.answer is not OTHERWISE]

    def was_told(self, words: str) -> bool:
        """Whether the model has seen `words`, alone or along with something else."""
        return any(words in json.dumps(asked.body, ensure_ascii=False) for asked in self.requests)

    async def _messages(self, request: Request) -> Response:
        body = await request.json()
        said = [part for message in body["messages"] for part in _message_parts(message)]
        answer = self._answer(request, body, said)
        if not body.get("stream"):
            return JSONResponse(_message([_block(answer, 1)], _stop_reason(answer)))
        return self._stream(answer, message_events(answer, len(self.requests)))

    async def _responses(self, request: Request) -> Response:
        body = await request.json()
        said = [part for item in body["input"] for part in _item_parts(item)]
        answer = self._answer(request, body, said)
        return self._stream(answer, response_events(answer, len(self.requests)))

    async def _not_here(self, request: Request) -> Response:
        self.unknown.append(f"{request.method} {request.url.path}")
        return JSONResponse({"type": "error", "error": {"type": "not_found_error"}}, 404)

    def _answer(self, request: Request, body: Wire, said: list[tuple[str, str]]) -> Step:
        prompt, results = "", list[str]()
        for kind, text in said:
            if kind == "result":
                results.append(text)
            elif (asked := self._known.get(_bare(text))) is not None:
                prompt, results = asked, []
        steps = self.script.get(prompt, ())
        # A request without tools is the agent's own business: a title, a summary.
        known = len(results) < len(steps) and bool(body.get("tools"))
        answer = steps[len(results)] if known else OTHERWISE
        self.requests.append(Asked(request.url.path, body, prompt, results, answer))
        return answer

    def _stream(self, answer: Step, events: Iterator[Wire]) -> Response:
        async def body() -> AsyncIterator[bytes]:
            finished = False
            try:
                for event in events:
                    if isinstance(answer, Say) and answer.forever and event["type"] in _ENDS:
                        await asyncio.Event().wait()  # cancelled when the agent hangs up
                    yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
                finished = True
            finally:
                if not finished:
                    self.abandoned.set()

        return StreamingResponse(body(), media_type="text/event-stream")


_PASTED = re.compile(r"</?pasted_content[^>]*>")
"""How Claude Code tells its model that a text of several lines came as a paste, or as several on a
busy machine."""
_ENDS = frozenset({"content_block_stop", "response.output_text.done"})


def _bare(text: str) -> str:
    """Without what agents put around and between the lines of a prompt."""
    return "".join(_PASTED.sub("", text).split())


def _texts(content: str | list[Wire]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        yield from (part["text"] for part in content if "text" in part)


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))


# --- Messages API ------------------------------------------------------------------------------


def _message_parts(message: Wire) -> Iterator[tuple[str, str]]:
    """What the user's side says in a message: ("text" | "result", words)."""
    if message["role"] != "user":
        return
    content = message["content"]
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if block["type"] == "tool_result":
            yield "result", "\n".join(_texts(block.get("content", "")))
        elif block["type"] == "text":
            yield "text", block["text"]


def _block(answer: Step, number: int) -> Wire:
    if isinstance(answer, Say):
        return {"type": "text", "text": answer.text}
    name, given = answer.tool, answer.arguments
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def _stop_reason(answer: Step) -> str:
    return "end_turn" if isinstance(answer, Say) else "tool_use"


def _message(content: list[Wire], stop_reason: str | None) -> Wire:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }


def message_events(answer: Step, number: int) -> Iterator[Wire]:
    """A message with one content block, as the Messages API streams it."""
    block = _block(answer, number)
    if isinstance(answer, Say):
        start = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(answer.text)]
    else:
        start = {**block, "input": {}}
        written = json.dumps(answer.arguments)
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in _pieces(written)]
    yield {"type": "message_start", "message": _message([], None)}
    yield {"type": "content_block_start", "index": 0, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(answer), "stop_sequence": None},
        "usage": {"output_tokens": 10},
    }
    yield {"type": "message_stop"}


# --- Responses API -----------------------------------------------------------------------------


def _item_parts(item: Wire) -> Iterator[tuple[str, str]]:
    """What the user's side says in an input item: ("text" | "result", words)."""
    if item.get("type", "").endswith("_call_output"):
        yield "result", "\n".join(_texts(item["output"]))
    elif item.get("role") == "user":
        yield from (("text", text) for text in _texts(item["content"]))


def _item(answer: Step, number: int) -> Wire:
    if isinstance(answer, Say):
        text = {"type": "output_text", "text": answer.text, "annotations": []}
        return {"type": "message", "id": f"item_{number}", "role": "assistant", "content": [text]}
    if isinstance(answer.arguments, str):
        kind, given = "custom_tool_call", {"input": answer.arguments}
    else:
        kind, given = "function_call", {"arguments": json.dumps(answer.arguments)}
    ids = {"id": f"item_{number}", "call_id": f"call_{number}"}
    return {"type": kind, **ids, "name": answer.tool, **given}


def response_events(answer: Step, number: int) -> Iterator[Wire]:
    """A response with one output item, as the Responses API streams it."""
    events = _response_events(answer, number)
    return ({**event, "sequence_number": n} for n, event in enumerate(events))


def _response_events(answer: Step, number: int) -> Iterator[Wire]:
    response = {"id": "resp_1", "object": "response", "model": "scripted", "output": []}
    item = _item(answer, number)
    yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
    if isinstance(answer, Say):
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        started = {**item, "content": [], "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": 0, "item": started}
        for piece in _pieces(answer.text):
            yield {"type": "response.output_text.delta", **place, "delta": piece}
        yield {"type": "response.output_text.done", **place, "text": answer.text}
    else:
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    done = {**item, "status": "completed"}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 110,
    }
    finished = {**response, "status": "completed", "output": [done], "usage": usage}
    yield {"type": "response.completed", "response": finished}
