"""The attempts of one call: the official client makes and repeats them, and each is judged here.

The client knows status codes alone. So that it repeats what may pass and nothing else, each failed
attempt reaches it as an error of the server that says whether to go on, and how long to wait.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
import openai

from collm_nas.llm.bounded import Unusable, exchange
from collm_nas.llm.keys import quote
from collm_nas.llm.verdict import Body, Failure, verdict


def post(
    client: openai.OpenAI,
    transport: httpx2.BaseTransport,
    request: Body,
    headers: Mapping[str, str],
    *,
    retries: int,
    reached: bool,
) -> tuple[Body | None, list[Failure]]:
    """Send a chat completion request; return the body, which has a message, and what failed.

    Args:
        transport: sends one attempt.
        retries: attempts after the first.
        reached: whether the server was ever there; else it is not waited for.
    """
    attempts = _Attempts(transport, client.api_key, reached)
    with httpx2.Client(transport=attempts, follow_redirects=False) as http:
        repeating = client.with_options(http_client=http, max_retries=retries)
        try:
            raw = repeating.chat.completions.with_raw_response
            raw.create(**request, extra_headers=headers)
        except openai.APIStatusError:
            pass  # its message is ours
    return attempts.body, attempts.failures


class _Attempts(httpx2.BaseTransport):
    """Attributes: `body` of the answer, once there is one; `failures` of the attempts before."""

    def __init__(self, inner: httpx2.BaseTransport, key: str, reached: bool) -> None:
        self.inner = inner
        self.key = key
        self.reached = reached
        self.body: Body | None = None
        self.failures: list[Failure] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it; return what makes the client stop, or repeat it."""
        try:
            answer = verdict(*exchange(self.inner, request), self.key)
        except httpx2.TimeoutException:
            seconds = request.extensions["timeout"]["read"]
            answer = Failure(f"no complete answer within {seconds:g} s")
        except Unusable as error:
            answer = Failure(quote(str(error), self.key), retry=error.retry)
        except (httpx2.RequestError, OSError) as error:
            retry = self.reached or not isinstance(error, httpx2.ConnectError)
            answer = Failure(f"connection failed: {quote(str(error), self.key)}", retry=retry)
        if not isinstance(answer, Failure):
            self.body = answer
            return httpx2.Response(200)
        self.failures.append(answer)
        orders = {"x-should-retry": str(answer.retry).lower(), "retry-after": answer.wait}
        return httpx2.Response(500, headers=orders)
