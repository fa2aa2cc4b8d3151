"""One bucket of an object store: the few requests that a run needs, tried again, with their errors in a sentence."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from recu_analysis.errors import MissingExtraError, RecuError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Seconds for which a failing request is tried again: a reader waits for it, a recording goes on meanwhile.
READ_SECONDS, WRITE_SECONDS = 30.0, 300.0
#: Seconds after which a request without an answer has failed. A request moves at most PART_BYTES.
ANSWER_SECONDS = 60.0
#: A larger object is sent in parts of this size, which are one object when the last one has arrived.
PART_BYTES = 8 * 2**20
#: Parts of one object that are sent at once, each held in memory.
PARTS_AT_ONCE = 4
#: One of these shows that the environment names credentials, or that none are needed.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)
#: The number of the process that used the library first. Its threads do not survive a fork, so a child would hang.
_PROCESS: dict[str, int] = {}
_NETWORK = "check the network and AWS_ENDPOINT_URL"
_PANIC = "PanicException"
_DENIED = re.compile("status code: 40[13]")
#: Parts of the library's messages, and what they mean. The messages themselves hold addresses and are long.
_REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "it is not there",
    _DENIED.pattern: "access is denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and the "
    "rights of the key",
    "status code: 404": "it is not there",
    "BadScheme": "AWS_ENDPOINT_URL is not https; AWS_ALLOW_HTTP=true allows http",
    "dns error": f"the name of its server is not known; {_NETWORK}",
    "ConnectionRefused|Connection refused": f"its server refuses the connection; {_NETWORK}",
    "TimedOut|timed out": f"its server does not answer in time; {_NETWORK}",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its bytes, and when it was written, in seconds since 1970."""

    size: int
    written: float


class Bucket:
    """A bucket, reached with the standard AWS variables of the environment when it is first used.

    All methods raise StoreError if a request fails for good, and MissingExtraError without obstore.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._clients: dict[tuple[int, float], Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Bucket, (self.name,)

    def _client(self, seconds: float) -> Any:
        key = (os.getpid(), seconds)
        if key not in self._clients:
            if not any(os.environ.get(name) for name in CREDENTIALS):
                raise StoreError(
                    f"s3://{self.name} needs credentials, and the environment has none; set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a bucket that anyone may read"
                )
            self._clients[key] = _opened(self.name, seconds)
        return self._clients[key]

    def objects(self, folder: str) -> dict[str, Entry]:
        """Every object below a folder, by its key, in order."""
        with self._request(folder, "cannot be listed"):
            pages = _library().list(self._client(READ_SECONDS), folder, chunk_size=1000)
            found = _interruptible(lambda: [each for page in pages for each in page])
        return {each["path"]: _entry(each) for each in sorted(found, key=lambda each: str(each["path"]))}

    def names(self, folder: str) -> list[str]:
        """Names of what is directly in a folder: objects, and folders with a slash."""
        with self._request(folder, "cannot be listed"):
            client = self._client(READ_SECONDS)
            found = _interruptible(lambda: _library().list_with_delimiter(client, folder))
        below = [f"{each}/" for each in found["common_prefixes"]] + [each["path"] for each in found["objects"]]
        return sorted(each.removeprefix(f"{folder}/") for each in below)

    def entry(self, key: str) -> Entry | None:
        """What is known of one object; None if it is not there, or may not be seen."""
        with self._request(key, "cannot be read"):
            client = self._client(READ_SECONDS)
            try:
                return _entry(_interruptible(lambda: _library().head(client, key)))
            except FileNotFoundError:
                return None
            except Exception as error:
                if _DENIED.search(str(error)) is None:
                    raise
                return None

    def read(self, key: str, start: int = 0, stop: int | None = None, *, patient: bool = False) -> memoryview | None:
        """The bytes of an object, from `start` up to `stop`; None if it is not there any more.

        If `patient`, a request that fails is tried again for as long as one that writes.
        """
        with self._request(key, "cannot be read"):
            client = self._client(WRITE_SECONDS if patient else READ_SECONDS)
            try:
                if stop is None:
                    return memoryview(_interruptible(lambda: _library().get(client, key).bytes()))
                return memoryview(_interruptible(lambda: _library().get_range(client, key, start=start, end=stop)))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def put(self, key: str, content: IO[bytes] | bytes) -> None:
        """Write an object as a whole; what had this key before is replaced at once."""
        with self._request(key, "cannot be written"):
            client = self._client(WRITE_SECONDS)
            _library().put(client, key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one of this key; return whether the content is now there."""
        try:
            with self._request(key, "cannot be written"):
                _library().put(self._client(READ_SECONDS), key, content, mode="create", use_multipart=False)
        except StoreError:
            # The answer to an earlier try may have been lost, although it wrote the object.
            there = self.read(key)
            if there is None:
                raise
            return there == content
        return True

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        if keys:
            with self._request(keys[0], "cannot be deleted"):
                _library().delete(self._client(READ_SECONDS), list(keys))

    @contextlib.contextmanager
    def _request(self, key: str, what: str) -> Iterator[None]:
        """Turn the errors of the library into a sentence without the addresses in them."""
        try:
            yield
        except RecuError:
            raise
        except BaseException as error:
            kind = type(error)
            # What the library did not foresee is a PanicException, which is no Exception and would end a thread.
            if not (isinstance(error, OSError) or kind.__module__.startswith("obstore") or kind.__name__ == _PANIC):
                raise
            raise StoreError(f"s3://{self.name}/{key} {what}: {_reason(error)}") from None


def _interruptible(call: Callable[[], Any]) -> Any:
    """Call in a thread of its own if this is the main one, which Ctrl-C then ends: the library does not look for it."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put((call(), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    value, error = answer.get()
    if error is not None:
        raise error
    return value


def _library() -> Any:
    try:
        import obstore
    except ImportError:
        raise MissingExtraError(
            'obstore is not installed, which s3:// URLs need; install it with: pip install "recu-analysis[s3]"'
        ) from None
    return obstore


def _opened(bucket: str, seconds: float) -> Any:
    """The library's client of a bucket; it reads the credentials from the environment."""
    _library()
    _check_endpoint(bucket)
    if _PROCESS.setdefault("number", os.getpid()) != os.getpid():
        raise StoreError(
            f"s3://{bucket} cannot be used: this process was forked after the object store was used, and its threads "
            "are not here; start processes with spawn"
        )
    from obstore.store import S3Store

    http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"true", "1", "yes", "on"}
    try:
        return S3Store(
            bucket,
            client_options={
                "allow_http": http,
                "timeout": timedelta(seconds=min(ANSWER_SECONDS, seconds)),
                "connect_timeout": timedelta(seconds=min(5.0, seconds)),
            },
            retry_config={
                "max_retries": 1000,  # the time alone ends the tries
                "retry_timeout": timedelta(seconds=seconds),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=min(15.0, seconds / 4)),
                    "base": 2,
                },
            },
        )
    except Exception as error:
        raise StoreError(
            f"s3://{bucket} cannot be used: a setting in the AWS_ variables of the environment is not valid"
        ) from error


def _check_endpoint(bucket: str) -> None:
    """Raise StoreError unless the address of the server can be one, of which the library makes no sentence."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        text = os.environ.get(name, "")
        try:
            parts = urlsplit(text)
            fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fits = False
        if text and not (fits and re.fullmatch("[!-~]+", text)):
            raise StoreError(
                f"s3://{bucket} cannot be used: {name} is not the address of a server, such as https://host"
            )


def _entry(each: Any) -> Entry:
    return Entry(each["size"], each["last_modified"].timestamp())


def _reason(error: BaseException) -> str:
    """What a message of the library means, without the addresses in it."""
    text = str(error)
    for pattern, reason in _REASONS.items():
        if re.search(pattern, text):
            return reason
    status = re.search(r"status code: (\d+ [A-Z][A-Za-z ]*)", text)
    return f"its server answers {status[1].strip()}" if status else f"the connection fails; {_NETWORK}"
