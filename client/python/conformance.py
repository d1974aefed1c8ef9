"""Runs the cases of ``client/conformance/cases.json`` through this client. ``client/conformance/run`` starts it.

Usage: ``conformance.py CASES READY``, where READY is the line that ``kv dev --json`` prints when its cluster of three fresh nodes
is ready, or that ``client/conformance/tls.py`` makes up for nodes that speak TLS.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack

import kvorum
from kvorum import errors, wire
from kvorum.endpoint import server_name
from kvorum.messages import GREETING, JOINED, OPERATION, PROTOCOL_VERSION, RESPONSE, Failed, Hello

Json = dict[str, Any]

PATIENCE_S = 15
"""A step that says nothing else must end within this, and be as expected if that may take a moment."""


def value_of(text: str) -> bytes:
    """The bytes that a case's string stands for."""
    kind, _, rest = text.partition(":")
    if kind == "bytes":
        return rest.encode()
    if kind == "hex":
        return bytes.fromhex(rest)
    if kind == "repeat":
        count, digits = rest.split(":")
        return bytes.fromhex(digits) * int(count)
    raise ValueError(text)


def native(value: Any) -> Any:
    """What stands in a case as on the wire, for msgpack."""
    if isinstance(value, list):
        return [native(element) for element in value]
    if isinstance(value, str):
        if value == "operation:":
            return kvorum.draw_operation()
        return value.removeprefix("text:") if value.startswith("text:") else value_of(value)
    return value


def detail_of(error: errors.RequestError) -> int | None:
    """What the error says more closely, as a number."""
    for name in ("reason", "argument", "what"):
        if hasattr(error, name):
            return int(getattr(error, name))
    return None


class Runner:
    """One cluster, and what its cases remember while they run."""

    def __init__(self, ready: Json) -> None:
        self.ready = ready
        directory = ready.get("identity")
        self.identity = kvorum.Identity.from_directory(directory) if directory else None
        self.client = kvorum.connect(*ready["endpoints"], identity=self.identity)
        self.contexts: dict[str, bytes] = {}
        self.operations: dict[str, bytes] = {}
        self.paused: list[int] = []

    def run(self, step: Json) -> None:
        """Carries out a step and compares what came of it with what was expected."""
        if step["op"] in ("pause_others", "resume", "kill_coordinator"):
            return self.signal(step)
        for _ in range(step.get("times", 1) if step["op"] != "put_batch" else 1):
            began = time.monotonic()
            outcome = self.outcome(step)
            while step.get("eventually") and time.monotonic() < began + PATIENCE_S and self.differs(outcome, step):
                outcome = self.outcome(step)
            took_ms = (time.monotonic() - began) * 1000
            self.compare(outcome, step["expect"])
            assert took_ms <= step["expect"].get("within_ms", PATIENCE_S * 1000), f"took {took_ms:.0f} ms"

    def outcome(self, step: Json) -> Any:
        """What came of a step, an error included. With a token it is done over a client that shows it."""
        own, token = self.client, step.get("token", "")
        try:
            if token:
                self.client = kvorum.connect(*self.ready["endpoints"], identity=self.identity, token=token)
            return getattr(self, "do_" + step["op"])(step)
        except kvorum.ConnectError as error:
            return error.refusal or error
        except (kvorum.KvorumError, ValueError) as error:
            return error
        finally:
            if self.client is not own:
                self.client.close()
                self.client = own

    def differs(self, outcome: Any, step: Json) -> bool:
        """Whether an outcome is not, or not yet, as expected."""
        try:
            self.compare(outcome, step["expect"])
        except AssertionError:
            return True
        return False

    def bucket(self, step: Json) -> kvorum.Bucket:
        return self.client.bucket(step.get("bucket", "default"))

    def replaces(self, step: Json) -> Json:
        replaces = step.get("replaces", "latest")
        if replaces in ("latest", "none"):
            return {"sibling": True} if replaces == "none" else {}
        context = self.contexts[replaces]
        return {"context": context[:-1] + bytes([context[-1] ^ 1]) if step.get("alter") else context}

    def settings(self, step: Json, *names: str) -> Json:
        given = {name: step[name] for name in names if name in step}
        if "operation" in step:
            given["operation"] = self.operations.setdefault(step["operation"], kvorum.draw_operation())
        if "deadline_ms" in step:
            given["deadline"] = step["deadline_ms"] / 1000
        return given

    def remember(self, step: Json, answer: Any) -> Any:
        if "save" in step:
            assert answer.context is not None, "there is a context to save"
            self.contexts[step["save"]] = answer.context
        return answer

    def do_put(self, step: Json) -> kvorum.PutDone:
        key, value = value_of(step["key"]), value_of(step["value"])
        settings = self.settings(step, "w", "strict", "retry")
        done: kvorum.PutDone = self.remember(step, self.bucket(step).put(key, value, **self.replaces(step), **settings))
        return done

    def do_delete(self, step: Json) -> kvorum.PutDone:
        settings = self.settings(step, "w", "strict", "retry")
        return self.bucket(step).delete(value_of(step["key"]), **self.replaces(step), **settings)

    def do_get(self, step: Json) -> kvorum.GetDone:
        read = self.bucket(step).get(value_of(step["key"]), **self.settings(step, "r", "strict"))
        found: kvorum.GetDone = self.remember(step, read)
        return found

    def do_update(self, step: Json) -> kvorum.UpdateDone:
        change = OPERATION.take(native(step["change"]))
        settings = self.settings(step, "w", "strict", "retry")
        return self.bucket(step).update(value_of(step["key"]), change, **settings)

    def do_read(self, step: Json) -> kvorum.MergedDone:
        return self.bucket(step).read(value_of(step["key"]), **self.settings(step, "r", "strict"))

    def do_list(self, step: Json) -> list[kvorum.ListItem]:
        return [*self.bucket(step).keys(value_of(step["prefix"]), limit=step["limit"])]

    def do_put_batch(self, step: Json) -> list[kvorum.PutDone | kvorum.RequestError]:
        items = [
            kvorum.put_item(value_of(item["key"]), value_of(item["value"]), **self.replaces(item))
            for item in step["items"]
        ]
        return self.bucket(step).put_batch(items * step.get("times", 1), **self.settings(step, "w"))

    def do_get_batch(self, step: Json) -> list[kvorum.GetDone | kvorum.MergedDone | kvorum.RequestError]:
        return self.bucket(step).get_batch([value_of(key) for key in step["keys"]])

    def do_create_bucket(self, step: Json) -> kvorum.BucketDescription:
        settings = kvorum.BucketSettings(rule=kvorum.MergeRule(step.get("rule", 1)))
        return self.client.create_bucket(step["bucket"], settings)

    def do_send(self, step: Json) -> Any:
        """A request as it stands in the case, over a connection of its own."""
        tag, *fields = native(step["frame"])
        endpoint = kvorum.Endpoint.parse(self.ready["endpoints"][0])
        stream = socket.create_connection((endpoint.host, endpoint.port), timeout=10)
        if self.identity is not None and endpoint.node is not None:
            stream = self.identity.context.wrap_socket(stream, server_hostname=server_name(endpoint.node))
        with stream, stream.makefile("rb") as reader:
            body = msgpack.packb([tag, 7, *fields])
            hello = wire.write_frame(GREETING, 0, Hello(PROTOCOL_VERSION, PROTOCOL_VERSION))
            # Twice: the connection goes on after a request that is refused.
            stream.sendall(hello + 2 * (len(body).to_bytes(4, "big") + body))
            reader.read(wire.frame_length(reader.read(4)))
            for _ in range(2):
                tag, request_id, fields = wire.read_head(reader.read(wire.frame_length(reader.read(4))))
                assert request_id == 7
            answer = RESPONSE.take_kind(tag, fields)
        return answer.error if isinstance(answer, Failed) else answer

    def signal(self, step: Json) -> None:
        """Stops, continues or kills nodes, as a machine in trouble does."""
        if step["op"] == "resume":
            for pid in self.paused:
                os.kill(pid, signal.SIGCONT)
            self.paused = []
            return
        place = self.client.topology.place("default", value_of(step["key"]))
        assert place is not None
        coordinator = place.owners[0].hex()
        for node in self.ready["nodes"]:
            if step["op"] == "pause_others" and node["id"] != coordinator:
                os.kill(node["pid"], signal.SIGSTOP)
                self.paused.append(node["pid"])
            elif step["op"] == "kill_coordinator" and node["id"] == coordinator:
                os.kill(node["pid"], signal.SIGKILL)

    def compare(self, outcome: Any, expect: Json) -> None:
        """Asserts that an outcome is as expected."""
        if "error" in expect:
            assert isinstance(outcome, Exception), f"no error: {outcome}"
            # What this client refuses by itself counts as the node's answer to a malformed request.
            code = outcome.code if isinstance(outcome, errors.RequestError) else 8
            assert code in expect["error"], repr(outcome)
            if "detail" in expect:
                assert isinstance(outcome, errors.RequestError)
                assert detail_of(outcome) == expect["detail"], repr(outcome)
            return
        assert not isinstance(outcome, Exception), repr(outcome)
        if "outcomes" in expect:
            for one, wanted in zip(outcome, expect["outcomes"], strict=True):
                self.compare(one, wanted)
        if "values" in expect:
            assert sorted(outcome.values) == sorted(map(value_of, expect["values"])), outcome
        if "merged" in expect:
            assert (None if outcome.value is None else JOINED.put(outcome.value)) == native(expect["merged"]), outcome
        if "count" in expect:
            assert len(outcome.values) == expect["count"]
        if "context" in expect:
            assert (outcome.context is not None) == expect["context"], outcome
        if "replaced" in expect:
            assert len(outcome.replaced) == expect["replaced"], outcome
        for name in {"complete", "acked_owners", "retry_checked"} & expect.keys():
            found = getattr(outcome, name)
            assert found >= expect[name] if name == "acked_owners" else found == expect[name], outcome
        if "keys" in expect:
            assert [item.key for item in outcome] == [*map(value_of, expect["keys"])], outcome
        if "siblings" in expect:
            assert [item.siblings for item in outcome] == expect["siblings"], outcome


def main(cases: Iterable[Json], ready: Json) -> int:
    """Runs every case; the number of those that failed."""
    runner = Runner(ready)
    passed = failed = 0
    for case in cases:
        for number, step in enumerate(case["steps"], 1):
            try:
                runner.run(step)
            except AssertionError as error:
                print(f"python: {case['name']}: step {number} ({step['op']}): {error}", file=sys.stderr)
                failed += 1
                break
        else:
            passed += 1
    runner.client.close()
    over = "over TLS" if runner.identity else "in plaintext"
    print(f"python, {over}: {passed} of {passed + failed} conformance cases passed")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(json.loads(Path(sys.argv[1]).read_text())["cases"], json.loads(sys.argv[2])), 1))
